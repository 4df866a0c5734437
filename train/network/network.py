"""The network: preprocessing buffers, blocks, head."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Self, cast

import torch
from torch import Tensor, nn

from lockstep.errors import InvalidSetting
from train.configuration.configuration import Configuration
from train.configuration.network import Activation, NetworkConfiguration
from train.data.dataset import Dataset, Task
from train.network.order import check_order
from train.network.standardisation import Rescaling, Standardisation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}


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
    def of(cls, configuration: Configuration, dataset: Dataset) -> Self:
        """An untrained network whose buffers come from the dataset's training split alone."""
        columns = Standardisation.of(dataset.train.features)
        regression = dataset.classes is None
        target = Standardisation.of(dataset.train.targets[:, None]) if regression else None
        return cls(
            configuration.network,
            n_features=len(dataset.columns),
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
