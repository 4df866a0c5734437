"""Embeddings of numbers: one column spread into several (Gorishniy et al. 2022)."""

from __future__ import annotations

import math
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lockstep_train.network.preprocessing.present import present_values
from lockstep_train.network.preprocessing.scaling import distinct

OPEN_END = 10.0
"""Widths of the first or last bin by which a number may lie outside before it is cut off."""

FREQUENCY_SCALE = 0.1
"""Deviation of the frequencies that a periodic embedding begins with, in turns a deviation."""

# Beyond it a periodic embedding cuts off: far outside training its sines mean nothing.
_FARTHEST = 100.0
# Sines of a row fill whole vectors of the processor when their number is a multiple of it.
_VECTOR = 4


class PiecewiseLinear(nn.Module):
    """A number's place in bins: 1 in those below it, 0 in those above, between in its own.

    The first and the last bin are open: a number outside training goes on beyond 0 and 1, up to 10
    of their widths. Each column has bins of its own, between its quantiles; equal quantiles make
    one edge (Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
    Learning", 2022).

    Shape: ``[n, d]`` → ``[n, width]``, the bins of the columns one after another.
    """

    column: Tensor
    low: Tensor
    inverse: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, edges: list[NDArray[np.float32]], *, padded: bool = False) -> None:
        super().__init__()
        counts = np.array([len(column) - 1 for column in edges])
        exact = [column.astype(np.float64) for column in edges]
        ends = np.cumsum(counts)
        least, most = np.zeros(ends[-1]), np.ones(ends[-1])
        least[ends - counts] = -OPEN_END
        most[ends - 1] = 1 + OPEN_END
        # Where a bin is put: one after another, or at the beginning of its column's equal share.
        share = max(counts)
        starts = np.arange(len(edges)) * share if padded else ends - counts
        self.width = len(edges) * share if padded else int(ends[-1])
        places = np.concatenate([np.arange(n) + s for n, s in zip(counts, starts, strict=True)])
        column = np.repeat(np.arange(len(edges)), share if padded else counts)
        self.register_buffer("column", torch.tensor(column))
        for name, values in (
            ("low", np.concatenate([column[:-1] for column in exact])),
            ("inverse", 1 / np.concatenate([np.diff(column) for column in exact])),
            ("least", least),
            ("most", most),
        ):
            # A place without a bin is always 0: both its bounds are 0.
            spread = np.zeros(self.width, np.float32)
            spread[places] = values
            self.register_buffer(name, torch.from_numpy(spread))

    @classmethod
    def of(cls, columns: NDArray[Any], bins: int, *, padded: bool = False) -> Self:
        """Bins between the quantiles of the columns of ``[n, d]``; NaN is missing.

        Args:
            columns: the numbers as they will be embedded.
            bins: of a column, at most; a constant column gets one.
            padded: whether every column gets as many places as the one with most bins.
        """
        return cls([_edges(values, bins) for values in present_values(columns)], padded=padded)

    def forward(self, columns: Tensor) -> Tensor:
        """Places of ``[n, d]`` in the bins."""
        spread = columns.index_select(1, self.column)
        place = (spread - self.low) * self.inverse
        return torch.minimum(torch.maximum(place, self.least), self.most)


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float32]:
    quantiles = np.quantile(values, np.linspace(0, 1, bins + 1)).astype(np.float32)
    edges = quantiles[distinct(quantiles)]
    if len(edges) > 1:
        return edges
    # A single edge closes no bin: another one is put as far away as the number is large.
    other = 0.0 if abs(edges[0]) >= 1 else edges[0] + 1
    return np.sort(np.array([edges[0], other], np.float32))


class Periodic(nn.Module):
    """Sines and cosines of learned frequencies, then each column's own linear layer and ReLU.

    The frequencies begin as draws from a normal distribution (Gorishniy et al. 2022).

    Shape: ``[n, d]``, scaled → ``[n, d · column_width]``.

    Args:
        n_columns: ``d``.
        frequencies: of each column; from 4 on, rounded down to a multiple of 4.
        column_width: what a column becomes.
    """

    def __init__(self, n_columns: int, frequencies: int, column_width: int) -> None:
        super().__init__()
        count = max(frequencies - frequencies % _VECTOR, min(frequencies, _VECTOR))
        self.width = n_columns * column_width
        turns = torch.randn(n_columns, count) * FREQUENCY_SCALE
        self.frequencies = nn.Parameter(2 * math.pi * turns)
        self.columns = ColumnLayers(n_columns, 2 * count, column_width)

    def forward(self, columns: Tensor) -> Tensor:
        """Embed ``[n, d]``."""
        inside = columns.clamp(-_FARTHEST, _FARTHEST)
        angles = inside.unsqueeze(-1) * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return cast("Tensor", self.columns(waves))


class Bins(nn.Module):
    """A number beside its place in bins, which each column's own linear layer and ReLU combine.

    Shape: ``[n, d]``, scaled → ``[n, d + d · column_width]``.

    Args:
        places: of the columns in bins, as many for each column.
        n_columns: ``d``.
        column_width: what a column's places become.
    """

    def __init__(self, places: PiecewiseLinear, n_columns: int, column_width: int) -> None:
        super().__init__()
        self.n_columns = n_columns
        self.width = n_columns * (1 + column_width)
        self.places = places
        self.columns = ColumnLayers(n_columns, places.width // n_columns, column_width)

    def forward(self, columns: Tensor) -> Tensor:
        """Embed ``[n, d]``."""
        places = self.places(columns).reshape(-1, self.n_columns, self.columns.n_inputs)
        return torch.cat([columns, self.columns(places)], dim=1)


class ColumnLayers(nn.Module):
    """A linear layer and a ReLU for each column.

    The layers are one product of stacked matrices; in an exported graph they are one grouped
    convolution over a single place, whose bits do not depend on the batch, as those of stacked
    matrices do in onnxruntime.

    Shape: ``[n, d, n_inputs]`` → ``[n, d · width]``.

    Args:
        n_columns: ``d``.
        n_inputs: of each layer.
        width: outputs of each layer.
    """

    def __init__(self, n_columns: int, n_inputs: int, width: int) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.linear = nn.Conv1d(
            n_columns * n_inputs, n_columns * width, kernel_size=1, groups=n_columns
        )

    def forward(self, columns: Tensor) -> Tensor:
        """Combine ``[n, d, n_inputs]``."""
        return functional.relu(self._combined(columns))

    def _combined(self, columns: Tensor) -> Tensor:
        linear = self.linear
        if torch.compiler.is_exporting():
            spread = linear(columns.reshape(-1, linear.in_channels, 1))
            return cast("Tensor", spread).reshape(-1, linear.out_channels)
        # torch's own grouped convolution takes eight times as long.
        stacked = linear.weight.view(linear.groups, -1, self.n_inputs)
        products = torch.einsum("ndi,doi->ndo", columns, stacked)
        return products.reshape(-1, linear.out_channels) + cast("Tensor", linear.bias)
