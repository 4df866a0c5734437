"""Scalings for what a mean and a deviation cannot describe: outliers and skewed distributions."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lockstep_train.network.preprocessing.present import present_values

KNOTS = 128
"""Knots of a quantile scaling, at most."""

# Beyond it the smooth clip differs from its limit by less than float32 tells; its square is finite.
_FARTHEST = 1e6
_LIMIT = 3.0
_LEAST_SHARE = 1e-7
_SMALLEST_GAP = float(np.finfo(np.float32).tiny)


class RobustScaling(nn.Module):
    """Median and quartiles, then a smooth clip to ±3.

    A column less its median is divided by the distance of its quartiles, or where that is 0 by half
    its whole range; then ``x / sqrt(1 + (x / 3)²)``, which leaves the middle nearly as it is
    (Holzmüller, Grinsztajn and Steinwart, "Better by Default", 2024). A constant column becomes 0.

    Shape: ``[n, d]`` → ``[n, d]``, between −3 and 3.
    """

    median: Tensor
    scale: Tensor

    def __init__(self, median: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("median", median.to(torch.float32))
        self.register_buffer("scale", scale.to(torch.float32))

    @classmethod
    def of(cls, columns: NDArray[Any]) -> Self:
        """Medians and quartiles of the columns of ``[n, d]``; NaN is missing."""
        median, scale = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        for j, values in enumerate(present_values(columns)):
            low, median[j], high = np.quantile(values, (0.25, 0.5, 0.75))
            spreads = np.array([high - low, (values.max() - values.min()) / 2], np.float32)
            scale[j] = next((float(spread) for spread in spreads if spread > 0), 1.0)
        return cls(torch.from_numpy(median), torch.from_numpy(scale))

    def forward(self, columns: Tensor) -> Tensor:
        """Scale and clip ``[n, d]``."""
        scaled = ((columns - self.median) / self.scale).clamp(-_FARTHEST, _FARTHEST)
        third = scaled / _LIMIT
        return scaled / torch.sqrt(1 + third * third)


class QuantileScaling(nn.Module):
    """A number's rank in training → the normal distribution's quantile at that rank.

    Between two knots the rank is interpolated. How many knots lie at or below a number is counted
    by comparisons: a sum of ones is exact in any order, so a row's bits cannot depend on its batch.
    A value that many rows share has the middle of their ranks. A number beyond training's ends
    takes the rank of the end.

    Shape: ``[n, d]`` → ``[n, d]``.
    """

    knots: Tensor
    lowest: Tensor
    highest: Tensor
    start: Tensor
    height: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, curves: list[tuple[NDArray[np.float32], NDArray[np.float64]]]) -> None:
        super().__init__()
        width = max(len(knots) for knots, _ in curves)
        beyond = np.full((len(curves), width), np.inf, np.float32)
        # A place for each number of knots below: NaN, which is above no knot, takes the first.
        start, height, slope = np.zeros((3, len(curves), width + 1), np.float32)
        for j, (knots, heights) in enumerate(curves):
            beyond[j, : len(knots)] = knots
            start[j, 0] = knots[0]
            start[j, 1 : len(knots) + 1] = knots
            height[j, 0] = heights[0]
            height[j, 1 : len(knots) + 1] = heights
            slope[j, 1 : len(knots)] = _slopes(knots, heights)
        self.register_buffer("knots", torch.from_numpy(beyond))
        self.register_buffer("lowest", self.knots[:, 0].clone())
        self.register_buffer("highest", torch.tensor([float(knots[-1]) for knots, _ in curves]))
        for name, table in (("start", start), ("height", height), ("slope", slope)):
            self.register_buffer(name, torch.from_numpy(table.reshape(-1)))
        self.register_buffer("offset", torch.arange(len(curves)) * (width + 1))

    @classmethod
    def of(cls, columns: NDArray[Any]) -> Self:
        """Knots at the quantiles of the columns of ``[n, d]``; NaN is missing."""
        return cls([_curve(values) for values in present_values(columns)])

    def forward(self, columns: Tensor) -> Tensor:
        """Look up the ranks of ``[n, d]``."""
        inside = torch.minimum(torch.maximum(columns, self.lowest), self.highest)
        place = self._knots_below(inside) + self.offset
        return (inside - self.start[place]) * self.slope[place] + self.height[place]

    def _knots_below(self, inside: Tensor) -> Tensor:
        """How many knots lie at or below each number of ``[n, d]``."""
        if torch.compiler.is_exporting():
            below = (inside.unsqueeze(-1) >= self.knots).to(torch.float32).sum(dim=-1)
            return below.to(torch.int64)
        # The same numbers, in less time and memory, by an operator that ONNX has not.
        return torch.searchsorted(self.knots, inside.T.contiguous(), right=True).T


def _curve(values: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Knots of one column, distinct and rising, and the normal distribution's place of each."""
    shares = np.linspace(0, 1, min(KNOTS, max(2, len(values))))
    knots, group = np.unique(np.quantile(values, shares).astype(np.float32), return_inverse=True)
    middle = np.bincount(group, weights=shares) / np.bincount(group)
    kept = distinct(knots)
    # The rank of the first and the last of n values; at 0 and 1 the normal's place is infinite.
    least = max(0.5 / len(values), _LEAST_SHARE)
    heights = torch.special.ndtri(torch.from_numpy(np.clip(middle[kept], least, 1 - least)))
    return knots[kept], heights.numpy()


def _slopes(knots: NDArray[np.float32], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    rises = np.diff(heights) / np.diff(knots.astype(np.float64))
    return np.minimum(rises, float(np.finfo(np.float32).max))


def distinct(edges: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of some rising numbers lie far enough above those before them to divide by the gap."""
    kept = np.ones(len(edges), np.bool_)
    last = edges[0]
    for k, edge in enumerate(edges[1:], 1):
        kept[k] = float(edge) - float(last) >= _SMALLEST_GAP
        last = edge if kept[k] else last
    return kept
