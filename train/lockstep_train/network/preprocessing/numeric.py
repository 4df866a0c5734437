"""Numeric and boolean columns, as the blocks take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from lockstep.artifact.columns import Column, FeatureArray, Kind
from lockstep_train.configuration.preprocessing import PreprocessingConfiguration
from lockstep_train.network.preprocessing.embedding import Bins, Periodic, PiecewiseLinear
from lockstep_train.network.preprocessing.present import present_values
from lockstep_train.network.preprocessing.scaling import QuantileScaling, RobustScaling
from lockstep_train.network.preprocessing.standardisation import Standardisation

# Rows that are scaled at once where bins are learned from scaled numbers.
_ROWS = 8192


class Selection(nn.Module):
    """Some of the columns, in an order of their own. Shape: ``[n, d]`` → ``[n, len(columns)]``."""

    columns: Tensor

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor(columns))

    def forward(self, features: Tensor) -> Tensor:
        """Select from ``[n, d]``."""
        return features.index_select(1, self.columns)


def selection(columns: Sequence[int], n_columns: int) -> nn.Module:
    """The selection of some of ``n_columns``; nothing to do where it is all of them in order."""
    return nn.Identity() if list(columns) == list(range(n_columns)) else Selection(columns)


class Imputation(nn.Module):
    """A missing number becomes the median of training. Shape: ``[n, d]`` → ``[n, d]``."""

    median: Tensor

    def __init__(self, median: Tensor) -> None:
        super().__init__()
        self.register_buffer("median", median.to(torch.float32))

    @classmethod
    def of(cls, columns: FeatureArray) -> Self:
        """The medians of the columns of ``[n, d]``; 0 for one that holds no value at all."""
        medians = [float(np.median(values)) for values in present_values(columns)]
        return cls(torch.tensor(medians, dtype=torch.float64))

    def forward(self, columns: Tensor) -> Tensor:
        """Fill ``[n, d]``."""
        return torch.where(torch.isnan(columns), self.median, columns)


class Missing(nn.Module):
    """1 where a number is missing, 0 where it is there. Shape: ``[n, d]`` → ``[n, width]``.

    Args:
        columns: those that were ever missing in training.
        n_columns: ``d``.
    """

    def __init__(self, columns: Sequence[int], n_columns: int) -> None:
        super().__init__()
        self.width = len(columns)
        self.selection = selection(columns, n_columns)

    def forward(self, features: Tensor) -> Tensor:
        """Ask of ``[n, d]``."""
        return torch.isnan(self.selection(features)).to(torch.float32)


class Numeric(nn.Module):
    """The numeric columns: imputed, scaled, embedded.

    Shape: ``[n, d]`` in the user's own units → ``[n, width]``.
    """

    def __init__(
        self,
        selection: nn.Module,
        imputation: nn.Module,
        scaling: nn.Module,
        embedding: nn.Module,
        width: int,
    ) -> None:
        super().__init__()
        self.selection = selection
        self.imputation = imputation
        self.scaling = scaling
        self.embedding = embedding
        self.width = width

    @classmethod
    def of(
        cls,
        configuration: PreprocessingConfiguration,
        columns: Sequence[Column],
        rows: FeatureArray,
    ) -> Self:
        """Learn from the training rows.

        Args:
            configuration: the scaling and the embedding.
            columns: all ``d`` columns.
            rows: ``[n, d]``.
        """
        places = places_of("numeric", columns)
        chosen = rows[:, places]
        scaling = _scaling(configuration, chosen)
        embedding, width = _embedding(configuration, scaling, chosen)
        return cls(
            selection(places, len(columns)),
            imputation([columns[j] for j in places], chosen),
            scaling,
            embedding,
            width,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``."""
        present = self.imputation(self.selection(features))
        return cast("Tensor", self.embedding(self.scaling(present)))


class Boolean(nn.Module):
    """The boolean columns, imputed, as 0 and 1. Shape: ``[n, d]`` → ``[n, width]``.

    Args:
        columns: all ``d`` columns.
        rows: training rows ``[n, d]``.
    """

    def __init__(self, columns: Sequence[Column], rows: FeatureArray) -> None:
        super().__init__()
        places = places_of("boolean", columns)
        self.width = len(places)
        self.selection = selection(places, len(columns))
        self.imputation = imputation([columns[j] for j in places], rows[:, places])

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``; other numbers than 0 and 1 are clipped to between them."""
        return cast("Tensor", self.imputation(self.selection(features))).clamp(0, 1)


def places_of(kind: Kind, columns: Sequence[Column]) -> list[int]:
    """Where the columns of a kind stand."""
    return [j for j, column in enumerate(columns) if column.kind == kind]


def imputation(columns: Sequence[Column], rows: FeatureArray) -> nn.Module:
    """The imputation of rows ``[n, len(columns)]``; nothing to do where no value can be missing."""
    needed = any(column.missing_allowed for column in columns) or bool(np.isnan(rows).any())
    return Imputation.of(rows) if needed else nn.Identity()


def _scaling(configuration: PreprocessingConfiguration, columns: FeatureArray) -> nn.Module:
    if configuration.numeric == "robust":
        return RobustScaling.of(columns)
    if configuration.numeric == "quantile":
        return QuantileScaling.of(columns)
    if configuration.numeric == "shared":
        return Standardisation.shared(columns)
    if configuration.embedding == "piecewise_linear" and not configuration.column_width:
        # A number's place in a bin is the same in any unit.
        return nn.Identity()
    return Standardisation.of(columns)


def _embedding(
    configuration: PreprocessingConfiguration, scaling: nn.Module, columns: FeatureArray
) -> tuple[nn.Module, int]:
    """The embedding, and the width of what it makes."""
    n_columns = columns.shape[1]
    width = configuration.column_width
    if configuration.embedding == "piecewise_linear":
        scaled = _scaled(scaling, columns)
        if width:
            places = PiecewiseLinear.of(scaled, configuration.bins, padded=True)
            combined = Bins(places, n_columns, width)
            return combined, combined.width
        bins = PiecewiseLinear.of(scaled, configuration.bins)
        return bins, bins.width
    if configuration.embedding == "periodic":
        waves = Periodic(n_columns, configuration.bins, width or configuration.embedding_width)
        return waves, waves.width
    return nn.Identity(), n_columns


def _scaled(scaling: nn.Module, columns: FeatureArray) -> FeatureArray:
    """What a scaling makes of columns ``[n, d]``; what is missing stays missing."""
    if isinstance(scaling, nn.Identity):
        return columns
    with torch.no_grad():
        scaled = [scaling(rows) for rows in torch.split(torch.from_numpy(columns), _ROWS)]
    values: FeatureArray = torch.cat(scaled).numpy()
    return np.where(np.isnan(columns), np.float32(np.nan), values)
