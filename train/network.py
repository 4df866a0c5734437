"""The network: preprocessing buffers, blocks, head; and what may be said about any module."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from itertools import pairwise
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lockstep.errors import InvalidSetting
from train.configuration import Activation, NetworkConfiguration
from train.data import Dataset, Task

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}

_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Standardisation(nn.Module):
    """Columns in their own units → columns of mean 0 and deviation 1, by buffers.

    Shape: ``[n, d]`` → ``[n, d]``.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.to(torch.float32))
        self.register_buffer("scale", scale.to(torch.float32))

    @classmethod
    def of(cls, columns: NDArray[Any]) -> Self:
        """Means and deviations of the columns of ``[n, d]``; a constant column gets scale 1."""
        exact = columns.astype(np.float64)
        # Asked of the values, because the deviation of equal values is not always exactly 0; and of
        # the float32 scale, because a tiny deviation may vanish in it.
        scale = exact.std(axis=0).astype(np.float32)
        scale[(exact.max(axis=0) == exact.min(axis=0)) | (scale == 0)] = 1
        return cls(torch.from_numpy(exact.mean(axis=0)), torch.from_numpy(scale))

    def forward(self, columns: Tensor) -> Tensor:
        """Standardise ``[n, d]``."""
        return (columns - self.mean) / self.scale

    def extra_repr(self) -> str:
        """The number of columns."""
        return f"{self.mean.numel()}"


class Rescaling(nn.Module):
    """A standardised prediction → the target's own units, by buffers. Shape: ``[n, 1]`` → same."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.to(torch.float32))
        self.register_buffer("scale", scale.to(torch.float32))

    def forward(self, standardised: Tensor) -> Tensor:
        """Undo the target's standardisation of ``[n, 1]``."""
        return standardised * self.scale + self.mean


class Network(nn.Module):
    """Preprocessing → blocks of Linear, BatchNorm1d, activation, Dropout → head.

    Shape: ``[n, n_features]`` float32 in the user's own units → ``[n, n_outputs]``: logits, or for
    regression the standardised prediction (``n_outputs`` 1).

    The last block carries a Dropout only where it is asked for
    (`NetworkConfiguration.block_dropout`): what is dropped right before the head no later layer
    can make good.

    Example:
        >>> configuration = NetworkConfiguration(hidden=(8, 4))
        >>> network = Network(
        ...     configuration, 3, 2, "classification", mean=torch.zeros(3), scale=torch.ones(3)
        ... )
        >>> network(torch.zeros(5, 3)).shape
        torch.Size([5, 2])

    Args:
        configuration: the blocks' settings.
        n_features: number of columns.
        n_outputs: number of classes, or 1.
        task: decides what `Answering` makes of the head's output.
        mean: of the training split's columns, ``[n_features]``.
        scale: deviation of the training split's columns, ``[n_features]``, none of them 0.
        target: mean and scale of the training split's target; regression only.
    """

    def __init__(
        self,
        configuration: NetworkConfiguration,
        n_features: int,
        n_outputs: int,
        task: Task,
        *,
        mean: Tensor,
        scale: Tensor,
        target: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        if (tuple(mean.shape), tuple(scale.shape)) != ((n_features,), (n_features,)):
            raise InvalidSetting(
                f"mean and scale must hold one value for each of the {n_features} features, got "
                f"{list(mean.shape)} and {list(scale.shape)}."
            )
        self.task: Task = task
        self.preprocessing = Standardisation(mean, scale)
        self.input_dropout = nn.Dropout(configuration.input_dropout)
        self.blocks = nn.Sequential(*_blocks(configuration, n_features))
        self.head = nn.Linear(configuration.hidden[-1], n_outputs)
        self.answer: nn.Module = (
            nn.Softmax(dim=1)
            if task == "classification"
            else Rescaling(*(target or (torch.zeros(1), torch.ones(1))))
        )
        check_order(self)

    @classmethod
    def of(cls, configuration: NetworkConfiguration, dataset: Dataset) -> Self:
        """An untrained network whose buffers come from the dataset's training split alone."""
        columns = Standardisation.of(dataset.train.features)
        regression = dataset.classes is None
        target = Standardisation.of(dataset.train.targets[:, None]) if regression else None
        return cls(
            configuration,
            n_features=len(dataset.column_names),
            n_outputs=1 if dataset.classes is None else len(dataset.classes),
            task=dataset.task,
            mean=columns.mean,
            scale=columns.scale,
            target=None if target is None else (target.mean, target.scale),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``[n, n_classes]``, or the standardised prediction ``[n, 1]``."""
        standardised = self.input_dropout(self.preprocessing(features))
        return cast("Tensor", self.head(self.blocks(standardised)))


class Answering(nn.Module):
    """The network as it is served: what it answers, instead of what its loss is taken of.

    Shape: ``[n, n_features]`` float32 in the user's own units → ``[n, n_classes]`` probabilities,
    or ``[n, 1]`` prediction in the target's own units.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities, or the prediction."""
        return cast("Tensor", self.network.answer(self.network(features)))


def _blocks(configuration: NetworkConfiguration, n_features: int) -> list[nn.Sequential]:
    widths = pairwise((n_features, *configuration.hidden))
    return [
        _block(configuration, n_inputs, n_units, rate)
        for (n_inputs, n_units), rate in zip(widths, configuration.block_dropout, strict=True)
    ]


def _block(
    configuration: NetworkConfiguration, n_inputs: int, n_units: int, dropout: float
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    # BatchNorm subtracts the mean, and with it any bias of the Linear before it.
    layers["linear"] = nn.Linear(n_inputs, n_units, bias=not configuration.batch_norm)
    if configuration.batch_norm:
        layers["norm"] = nn.BatchNorm1d(
            n_units, eps=configuration.batch_norm_eps, momentum=configuration.batch_norm_momentum
        )
    layers["activation"] = ACTIVATIONS[configuration.activation]()
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


def check_order(module: nn.Module) -> None:
    """Refuse a Dropout whose output a BatchNorm takes statistics of.

    Dropout changes the variance of a unit in training and not in inference, so the running variance
    that the BatchNorm behind it collects is not the one that it meets when it serves (Li, Chen, Hu
    and Yang, "Understanding the Disharmony between Dropout and Batch Normalization by Variance
    Shift", CVPR 2019). A weight layer between the two sums many independent masks, which is why the
    Dropout of one block may stand before the Linear of the next.

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


def state_digest(module: nn.Module) -> str:
    """Sha256 over everything that decides what a module answers.

    That is name, type, shape and bytes of each entry of its state, and the training flag of each
    of its modules.
    """
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    for name, child in module.named_modules():
        digest.update(f"{name} training={child.training}\n".encode())
    return digest.hexdigest()
