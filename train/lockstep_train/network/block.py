"""A block: Linear → BatchNorm1d → activation → Dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from lockstep_train.network.dropout import Dropout, mask

_KNOWN = (
    (nn.Linear, nn.BatchNorm1d, nn.ReLU),
    (nn.Linear, nn.BatchNorm1d, nn.ReLU, Dropout),
)


class Block(nn.Sequential):
    """Linear → BatchNorm1d → activation → Dropout: layers in their order, and nothing else.

    In training on the CPU a block of Linear, BatchNorm1d, ReLU and, where it has one, Dropout is
    computed in place, without calling each layer: a copy and a call cost about as much as the
    arithmetic of a narrow layer. The numbers are those of the layers, bit for bit, and so are the
    masks, the running statistics and the gradients. In every other case, eval mode and export
    included, the layers are called.

    Shape: ``[n, n_inputs]`` → ``[n, n_units]``.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """What the layers make of the rows."""
        if self.training and rows.device.type == "cpu" and (layers := self._known_layers()):
            return _in_place(rows, *layers)
        return cast("Callable[[Tensor], Tensor]", super().forward)(rows)

    def _known_layers(self) -> tuple[nn.Linear, nn.BatchNorm1d, int] | None:
        """Linear, BatchNorm and how many chances drop a value; None where other layers stand."""
        layers = tuple(self)
        if tuple(map(type, layers)) not in _KNOWN:
            return None
        linear, norm = cast("nn.Linear", layers[0]), cast("nn.BatchNorm1d", layers[1])
        dropout = cast("Dropout", layers[3]) if len(layers) > 3 else None
        if (
            norm.momentum is None
            or not norm.track_running_stats
            or not (dropout is None or dropout.is_cheap)
            or not all(map(_is_unobserved, layers))
        ):
            return None
        return linear, norm, dropout.dropped if dropout else 0


def _in_place(rows: Tensor, linear: nn.Linear, norm: nn.BatchNorm1d, dropped: int) -> Tensor:
    cast("Tensor", norm.num_batches_tracked).add_(1)
    values = functional.batch_norm(
        functional.linear(rows, linear.weight, linear.bias),
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        training=True,
        momentum=cast("float", norm.momentum),
        eps=norm.eps,
    )
    # A mask without negative numbers may come before ReLU; after it, ReLU's gradient would be lost.
    return (values.mul_(mask(values, dropped)) if dropped else values).relu_()


def _is_unobserved(layer: nn.Module) -> bool:
    """Whether it is in training and has no hooks."""
    return layer.training and not (
        layer._forward_hooks  # noqa: SLF001 - torch tells of them in no other way
        or layer._forward_pre_hooks  # noqa: SLF001
        or layer._backward_hooks  # noqa: SLF001
        or layer._backward_pre_hooks  # noqa: SLF001
    )
