"""The order of a block: no Dropout whose output a BatchNorm takes statistics of."""

from __future__ import annotations

from torch import nn

from lockstep.errors import InvalidSetting

_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def check_order(module: nn.Module) -> None:
    """Refuse a Dropout whose output a BatchNorm takes statistics of.

    Dropout changes the variance of a unit in training and not in inference, so the BatchNorm behind
    it collects another running variance than it meets in inference (Li, Chen, Hu and Yang,
    "Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift", CVPR
    2019). A weight layer between the two sums many independent masks, which is why the Dropout of
    one block may stand before the Linear of the next.

    Args:
        module: every `nn.Sequential` in it is read, nested ones in their order.

    Raises:
        InvalidSetting: naming the Dropout and the BatchNorm.
    """
    for path, sequence in module.named_modules():
        if isinstance(sequence, nn.Sequential):
            _check_sequence(path, sequence)


def _check_sequence(path: str, sequence: nn.Sequential) -> None:
    dropout: str | None = None
    for name, layer in sequence.named_modules(prefix=path):
        if isinstance(layer, _DROPOUTS):
            dropout = name
        elif isinstance(layer, _BATCH_NORMS) and dropout is not None:
            raise InvalidSetting(
                f"The Dropout {dropout} stands before the BatchNorm {name}: its variance in "
                "training is not the one in inference (Li et al. 2019), so the running statistics "
                "would be wrong. The order of a block is Linear, BatchNorm, activation, Dropout."
            )
        elif any(weight.ndim > 1 for weight in layer.parameters(recurse=False)):
            dropout = None
