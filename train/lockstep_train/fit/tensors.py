"""Rows as the loss wants them: tensors that lie where the network is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.fit.loss import class_weights, row_weights
from lockstep_train.network.network import Network
from lockstep_train.network.preprocessing.standardisation import Rescaling

FEWEST_CURVE_ROWS, MOST_CURVE_ROWS = 5_000, 20_000
CURVE_SHARE = 0.4
"""Share of a large training split that takes a tenth of an epoch's time to measure."""

MOST_TIMES_WIDER, MOST_PREPARED_BYTES = 4, 10**9
"""What rows that are preprocessed before the fit may take: times the features' memory, and all."""

_ROWS = 8192
"""Rows that are preprocessed at once."""


@dataclass(frozen=True)
class SplitTensors:
    """The rows of a split as contiguous tensors.

    Attributes:
        features: float32 ``[n, d]``.
        targets: class indices ``[n]``, or standardised targets ``[n, 1]``.
        weights: how much a row counts, ``[n]`` of mean 1; None where all do alike.
        prepared: whether the features are what the network's preprocessing made of them,
            ``[n, width]``.
    """

    features: Tensor
    targets: Tensor
    weights: Tensor | None = None
    prepared: bool = False

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def of(cls, split: Split, network: Network, classes: NDArray[np.float64] | None = None) -> Self:
        """The rows of a split for a network, whose buffers standardise a regression's target.

        Args:
            split: features in the user's own units.
            network: says what the targets are.
            classes: how much a row of each class counts (`fit.loss.class_weights`).
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
            self.prepared,
        )

    def split(self, sizes: list[int]) -> Iterator[Self]:
        """The rows one after another, in parts of these sizes, which share their memory."""
        features, targets = torch.split(self.features, sizes), torch.split(self.targets, sizes)
        if self.weights is None:
            for part in zip(features, targets, strict=True):
                yield type(self)(*part, None, self.prepared)
            return
        for weighted in zip(features, targets, torch.split(self.weights, sizes), strict=True):
            yield type(self)(*weighted, self.prepared)

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
            self.prepared,
        )

    def prepare(self, network: Network) -> Self:
        """The same rows, preprocessed once instead of in every step.

        Args:
            network: its preprocessing must be fixed, and lie where the rows do.
        """
        preprocessing = network.preprocessing
        made = self.features.new_empty(len(self), preprocessing.width)
        with torch.no_grad():
            for rows, place in zip(
                torch.split(self.features, _ROWS), torch.split(made, _ROWS), strict=True
            ):
                place.copy_(preprocessing(rows))
        return replace(self, features=made, prepared=True)


def curve_sample_size(rows: int) -> int:
    """Rows of a training split, at most, that a point of the training curve is measured on."""
    return max(FEWEST_CURVE_ROWS, min(int(CURVE_SHARE * rows), MOST_CURVE_ROWS))


@dataclass(frozen=True)
class FitTensors:
    """What a fit looks at.

    Attributes:
        train: what is learned from.
        sample: rows of it on which the training curve is measured.
        validation: what stopping and choosing look at.
    """

    train: SplitTensors
    sample: SplitTensors
    validation: SplitTensors

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        network: Network,
        training: TrainingConfiguration,
        device: torch.device,
    ) -> Self:
        """Training and validation rows on a device; all of them weighted as the loss is.

        They are preprocessed here if a row becomes the same in every step, and if there is memory
        for it.

        Raises:
            InvalidSetting: weights that the target or the rows do not allow.
        """
        classes = class_weights(dataset, training)
        train = SplitTensors.of(dataset.train, network, classes)
        validation = SplitTensors.of(dataset.validation, network, classes)
        if _can_be_prepared(network, train, validation):
            train, validation = train.prepare(network), validation.prepare(network)
        train, validation = train.to(device), validation.to(device)
        return cls(
            train, train.sample(curve_sample_size(len(train)), seed=training.seed), validation
        )


def _can_be_prepared(network: Network, *parts: SplitTensors) -> bool:
    width, n_features = network.preprocessing.width, parts[0].features.shape[1]
    floats = width * sum(map(len, parts))
    return (
        network.preprocessing.is_fixed
        and width <= MOST_TIMES_WIDER * n_features
        and floats * torch.float32.itemsize <= MOST_PREPARED_BYTES
    )
