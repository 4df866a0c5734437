"""Rows as the loss wants them: tensors that lie where the network is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.configuration.training import TrainingConfiguration
from train.data.dataset import Dataset, Split
from train.fit.loss import class_weights, row_weights
from train.network.network import Network
from train.network.standardisation import Rescaling

FEWEST_CURVE_ROWS, MOST_CURVE_ROWS = 5_000, 20_000
CURVE_SHARE = 0.4
"""Of a large training split, which keeps the training curve at a tenth of an epoch's time."""


@dataclass(frozen=True)
class Rows:
    """The rows of a split as contiguous tensors.

    Attributes:
        features: float32 ``[n, d]``.
        targets: class indices ``[n]``, or standardised targets ``[n, 1]``.
        weights: how much a row counts, ``[n]`` of mean 1; None where all do alike.
    """

    features: Tensor
    targets: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def of(cls, split: Split, network: Network, classes: NDArray[np.float64] | None = None) -> Self:
        """The rows of a split for a network, whose buffers standardise a regression's target.

        Args:
            split: features in the user's own units.
            network: says what the targets are.
            classes: how much a row of each class counts (`train.fit.loss.class_weights`).
        """
        targets = torch.tensor(split.targets)
        if isinstance(network.answer, Rescaling):
            mean, scale = network.answer.mean.cpu(), network.answer.scale.cpu()
            targets = ((targets - mean) / scale).unsqueeze(1)
        return cls(torch.tensor(split.features), targets, row_weights(split, classes))

    def take(self, numbers: Tensor) -> Self:
        """The rows of these numbers ``[m]``, in their order."""
        return type(self)(
            self.features.index_select(0, numbers),
            self.targets.index_select(0, numbers),
            None if self.weights is None else self.weights.index_select(0, numbers),
        )

    def sample(self, most: int, *, seed: int) -> Self:
        """So many rows at most, drawn by the seed without replacement, in the split's order."""
        if len(self) <= most:
            return self
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.take(order[:most].sort().values.to(self.features.device))

    def to(self, device: torch.device) -> Self:
        """The same rows on a device."""
        return type(self)(
            self.features.to(device),
            self.targets.to(device),
            None if self.weights is None else self.weights.to(device),
        )


def curve_rows(rows: int) -> int:
    """Rows of a training split, at most, that a point of the training curve is measured on."""
    return max(FEWEST_CURVE_ROWS, min(int(CURVE_SHARE * rows), MOST_CURVE_ROWS))


@dataclass(frozen=True)
class Parts:
    """What a fit looks at.

    Attributes:
        train: what is learned from.
        sample: rows of it on which the training curve is measured.
        validation: what stopping and choosing look at.
    """

    train: Rows
    sample: Rows
    validation: Rows

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        network: Network,
        training: TrainingConfiguration,
        device: torch.device,
    ) -> Self:
        """The parts of a dataset on a device; all of them weighted as the loss is.

        Raises:
            InvalidSetting: weights that the target or the rows do not allow.
        """
        classes = class_weights(dataset, training)
        train = Rows.of(dataset.train, network, classes).to(device)
        validation = Rows.of(dataset.validation, network, classes).to(device)
        return cls(train, train.sample(curve_rows(len(train)), seed=training.seed), validation)
