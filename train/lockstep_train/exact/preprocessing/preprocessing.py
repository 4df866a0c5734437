"""Preprocessing in exact arithmetic: columns in the user's own units → whole numbers."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from lockstep_train.exact.grid import Columns, FloatArray
from lockstep_train.exact.layer import ClipColumns, ExactModule
from lockstep_train.exact.preprocessing.categorical import ExactCategorical
from lockstep_train.exact.preprocessing.embedding import (
    ExactBins,
    ExactPeriodic,
    ExactPiecewiseLinear,
)
from lockstep_train.exact.preprocessing.scaling import ExactScaling, scaling_of
from lockstep_train.network.preprocessing.categorical import Categorical
from lockstep_train.network.preprocessing.embedding import Bins, Periodic, PiecewiseLinear
from lockstep_train.network.preprocessing.numeric import Boolean, Imputation, Missing, Numeric
from lockstep_train.network.preprocessing.preprocessing import Preprocessing


class ExactPreprocessing(nn.Module):
    """The parts of a fitted preprocessing, each in whole numbers, side by side.

    Shape: ``[n, d]`` float32 → ``[n, width]`` float64.

    Args:
        fitted: what is to be computed.
        bits: of the fraction of what is neither 0 nor 1.
        reach: largest size that training's rows, with headroom, give each column of the dense
            matrix, ``[width]``.
    """

    def __init__(self, fitted: Preprocessing, bits: int, reach: FloatArray) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        begin = 0
        for part in fitted.parts.values():
            width = cast("int", part.width)
            parts.append(_exact(part, bits, reach[begin : begin + width]))
            begin += width
        self.parts = nn.ModuleList(parts)
        self.columns = Columns.joined([cast("ExactModule", part).columns for part in parts])

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``."""
        made = [part(features) for part in self.parts]
        return made[0] if len(made) == 1 else torch.cat(made, dim=1)


def _exact(part: nn.Module, bits: int, reach: FloatArray) -> nn.Module:
    if isinstance(part, Numeric):
        return ExactNumeric(part, bits, reach)
    if isinstance(part, Boolean):
        return ExactBoolean(part, bits)
    if isinstance(part, Missing):
        return ExactMissing(part)
    return ExactCategorical(cast("Categorical", part), bits)


class Filled(nn.Module):
    """Selected columns without NaN: what is missing becomes training's median, or else 0.

    Shape: ``[n, d]`` float32 → ``[n, k]`` float64.
    """

    median: Tensor

    def __init__(self, selection: nn.Module, imputation: nn.Module) -> None:
        super().__init__()
        self.selection = selection
        median = imputation.median if isinstance(imputation, Imputation) else torch.zeros(1)
        self.register_buffer("median", median.detach().cpu())

    def forward(self, features: Tensor) -> Tensor:
        """Fill ``[n, d]``."""
        chosen = self.selection(features)
        return torch.where(torch.isnan(chosen), self.median, chosen).to(torch.float64)


class ExactNumeric(nn.Module):
    """The numeric columns, scaled and embedded, in whole numbers."""

    def __init__(self, fitted: Numeric, bits: int, reach: FloatArray) -> None:
        super().__init__()
        self.filled = Filled(fitted.selection, fitted.imputation)
        embedding = fitted.embedding
        direct = isinstance(embedding, nn.Identity)
        self.scaling: ExactScaling = scaling_of(fitted.scaling, bits if direct else 0)
        self.embedding: nn.Module
        if isinstance(embedding, PiecewiseLinear):
            self.embedding = ExactPiecewiseLinear(embedding, bits)
        elif isinstance(embedding, Bins):
            self.embedding = ExactBins(embedding, bits, reach)
        elif isinstance(embedding, Periodic):
            self.embedding = ExactPeriodic(embedding, bits, reach)
        else:
            self.embedding = Direct(self.scaling, bits, reach)
        self.columns = cast("ExactModule", self.embedding).columns

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``."""
        return cast("Tensor", self.embedding(self.scaling(self.filled(features))))


class Direct(nn.Module):
    """Scaled columns as they are, on the grid. Shape: ``[n, k]`` → ``[n, k]``."""

    def __init__(self, scaling: ExactScaling, bits: int, reach: FloatArray) -> None:
        super().__init__()
        bound = reach if scaling.reach is None else np.full(len(reach), scaling.reach)
        self.columns = Columns.of(bits, bound)
        most = self.columns.most
        self.clip = ClipColumns(-most, most, deliberate=scaling.reach is not None)

    def forward(self, columns: Tensor) -> Tensor:
        """Round and bound ``[n, k]``."""
        return cast("Tensor", self.clip(columns))


class ExactBoolean(nn.Module):
    """`Boolean` on the grid."""

    def __init__(self, fitted: Boolean, bits: int) -> None:
        super().__init__()
        self.filled = Filled(fitted.selection, fitted.imputation)
        self.unit = 2.0**bits
        self.columns = Columns.of(bits, np.ones(fitted.width))

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``."""
        between = cast("Tensor", self.filled(features)).clamp(0.0, 1.0)
        return (between * self.unit).round()


class ExactMissing(nn.Module):
    """`Missing`: 1 or 0."""

    def __init__(self, fitted: Missing) -> None:
        super().__init__()
        self.selection = fitted.selection
        self.columns = Columns.of(0, np.ones(fitted.width))

    def forward(self, features: Tensor) -> Tensor:
        """Ask of ``[n, d]``."""
        return torch.isnan(self.selection(features)).to(torch.float64)
