"""Scalings as single IEEE operations in float64, in one fixed order."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lockstep_train.network.preprocessing.scaling import QuantileScaling, RobustScaling
from lockstep_train.network.preprocessing.standardisation import Standardisation

_QUANTILE_BITS = 40
_FARTHEST = 2.0**20


class ExactScaling(nn.Module):
    """Base: numbers in their own units → scaled numbers times ``2^bits``.

    Shape: ``[n, k]`` → ``[n, k]``.

    Attributes:
        reach: largest size of a scaled number; None where nothing bounds it.
    """

    reach: float | None = None


class Unscaled(ExactScaling):
    """Leaves numbers in their own units."""

    def forward(self, columns: Tensor) -> Tensor:
        """The columns themselves."""
        return columns


class ExactStandardisation(ExactScaling):
    """Less the mean, times the inverse of the deviation, which float64 loses nothing by."""

    mean: Tensor
    inverse: Tensor

    def __init__(self, fitted: Standardisation, bits: int) -> None:
        super().__init__()
        self.register_buffer("mean", fitted.mean.to(torch.float64))
        self.register_buffer("inverse", 2.0**bits / fitted.scale.to(torch.float64))

    def forward(self, columns: Tensor) -> Tensor:
        """Standardise ``[n, k]``."""
        return (columns - self.mean) * self.inverse


class ExactRobustScaling(ExactScaling):
    """`RobustScaling`; a bound stands between the square and the sum, so that they stay two."""

    reach = 3.0
    median: Tensor
    scale: Tensor

    def __init__(self, fitted: RobustScaling, bits: int) -> None:
        super().__init__()
        self.unit = 2.0**bits
        self.register_buffer("median", fitted.median.to(torch.float64))
        self.register_buffer("scale", fitted.scale.to(torch.float64))

    def forward(self, columns: Tensor) -> Tensor:
        """Scale and clip ``[n, k]``."""
        scaled = ((columns - self.median) / self.scale).clamp(-_FARTHEST, _FARTHEST)
        third = scaled / 3.0
        square = (third * third).clamp(0.0, _FARTHEST**2)
        return scaled * self.unit / torch.sqrt(square + 1.0)


class ExactQuantileScaling(ExactScaling):
    """`QuantileScaling`; what is interpolated is rounded to a grid before the height is added."""

    knots: Tensor
    lowest: Tensor
    highest: Tensor
    start: Tensor
    slope: Tensor
    height: Tensor
    offset: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, fitted: QuantileScaling, bits: int) -> None:
        super().__init__()
        unit = 2.0**_QUANTILE_BITS
        for name in ("knots", "lowest", "highest", "start"):
            self.register_buffer(name, getattr(fitted, name).to(torch.float64))
        self.register_buffer("slope", fitted.slope.to(torch.float64) * unit)
        self.register_buffer("height", (fitted.height.to(torch.float64) * unit).round())
        self.register_buffer("offset", fitted.offset.clone())
        heights = self.height.reshape(len(self.offset), -1)
        self.width = float(fitted.knots.shape[1])
        self.register_buffer("least", heights[:, 0].clone())
        self.register_buffer("most", heights.amax(dim=1))
        self.reach = float(np.abs(heights.numpy()).max() / unit)
        self.unit = 2.0 ** (bits - _QUANTILE_BITS)

    def forward(self, columns: Tensor) -> Tensor:
        """Look up the ranks of ``[n, k]``."""
        inside = torch.minimum(torch.maximum(columns, self.lowest), self.highest)
        below = (inside.unsqueeze(-1) >= self.knots).to(torch.float64).sum(dim=-1)
        place = below.to(torch.int64) + self.offset
        risen = ((inside - self.start[place]) * self.slope[place]).round()
        # Between two knots the rank lies between theirs; the bounds tell the proof so.
        risen = risen.clamp(-(2.0**50), 2.0**50) + self.height[place]
        return torch.minimum(torch.maximum(risen, self.least), self.most) * self.unit


def scaling_of(fitted: nn.Module, bits: int) -> ExactScaling:
    """The scaling of a fitted network in float64.

    Args:
        fitted: `Standardisation`, `RobustScaling`, `QuantileScaling` or nothing.
        bits: numbers come out times ``2^bits``.
    """
    if isinstance(fitted, Standardisation):
        return ExactStandardisation(fitted, bits)
    if isinstance(fitted, RobustScaling):
        return ExactRobustScaling(fitted, bits)
    return ExactQuantileScaling(fitted, bits) if isinstance(fitted, QuantileScaling) else Unscaled()
