"""Embeddings of numbers in exact arithmetic: places in bins, waves, column layers."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from lockstep_train.exact.grid import Columns, FloatArray, fractions, weights_on_grid
from lockstep_train.exact.layer import Clip, ClipColumns, buffer
from lockstep_train.exact.tabulated import ARGUMENT_BITS, Waves
from lockstep_train.network.preprocessing.embedding import (
    Bins,
    ColumnLayers,
    Periodic,
    PiecewiseLinear,
)

WAVE_BITS = 22
"""Bits of the fraction of places in bins and of waves that column layers combine."""

_FARTHEST = 100.0
_LARGEST = float(np.finfo(np.float32).max)


class ExactPiecewiseLinear(nn.Module):
    """`PiecewiseLinear` on the grid. Shape: ``[n, d]`` → ``[n, width]``."""

    column: Tensor
    low: Tensor
    inverse: Tensor

    def __init__(self, fitted: PiecewiseLinear, bits: int) -> None:
        super().__init__()
        self.register_buffer("column", fitted.column.clone())
        self.register_buffer("low", fitted.low.to(torch.float64))
        self.register_buffer("inverse", fitted.inverse.to(torch.float64) * 2.0**bits)
        least, most = (
            np.rint(np.ldexp(bound.double().numpy(), bits)) for bound in (fitted.least, fitted.most)
        )
        self.clip = ClipColumns(least, most, deliberate=True)
        self.columns = Columns(
            np.full(len(most), bits, np.int64), np.maximum(np.abs(least), np.abs(most))
        )

    def forward(self, columns: Tensor) -> Tensor:
        """Places of ``[n, d]``."""
        # The bound keeps a product that scaled the columns apart from the difference.
        inside = columns.clamp(-_LARGEST, _LARGEST)
        spread = inside.index_select(1, self.column)
        return cast("Tensor", self.clip((spread - self.low) * self.inverse))


class ExactColumnLayers(nn.Module):
    """`ColumnLayers` none of whose sums rounds. Shape: ``[n, d · n_inputs]`` → ``[n, d · width]``.

    Args:
        fitted: the layers.
        inputs: the columns that enter.
        bits: of the answer's fraction.
        reach: largest size of each answer.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, fitted: ColumnLayers, inputs: Columns, bits: int, reach: FloatArray) -> None:
        super().__init__()
        linear = fitted.linear
        self.n_columns, self.n_inputs = linear.groups, fitted.n_inputs
        stacked = (
            linear.weight.detach().double().numpy().reshape(linear.groups, -1, fitted.n_inputs)
        )
        biases = cast("Tensor", linear.bias).detach().double().numpy().reshape(linear.groups, -1)
        ends = np.arange(1, linear.groups) * fitted.n_inputs
        entering = [
            Columns(*each)
            for each in zip(np.split(inputs.bits, ends), np.split(inputs.most, ends), strict=True)
        ]
        layers = list(zip(stacked, biases, entering, strict=True))
        finest = min(int(fractions(*layer).min()) for layer in layers)
        weights = [weights_on_grid(*layer, bits, most_fraction=finest) for layer in layers]
        self.register_buffer("weight", buffer([weight.T for weight, _ in weights]))
        self.register_buffer("bias", buffer([bias[None] for _, bias in weights]))
        most = float(Columns.of(bits, np.array([reach.max()])).most[0])
        self.clip = Clip(0.0, most, rectifies=True)
        width = linear.out_channels
        self.width = width
        self.columns = Columns(np.full(width, bits, np.int64), np.full(width, most))

    def forward(self, columns: Tensor) -> Tensor:
        """Combine ``[n, d · n_inputs]``."""
        stacked = columns.reshape(-1, self.n_columns, self.n_inputs).transpose(0, 1)
        sums = torch.matmul(stacked, self.weight) + self.bias
        return cast("Tensor", self.clip(sums.transpose(0, 1).reshape(-1, self.width)))


class ExactBins(nn.Module):
    """`Bins` on the grid: scaled numbers beside what their places are combined to."""

    def __init__(self, fitted: Bins, bits: int, reach: FloatArray) -> None:
        super().__init__()
        self.unit = 2.0**bits
        own = Columns.of(bits, reach[: fitted.n_columns])
        self.clip = ClipColumns(-own.most, own.most)
        self.places = ExactPiecewiseLinear(fitted.places, WAVE_BITS)
        self.layers = ExactColumnLayers(
            fitted.columns, self.places.columns, bits, reach[fitted.n_columns :]
        )
        self.columns = Columns.joined([own, self.layers.columns])

    def forward(self, columns: Tensor) -> Tensor:
        """Embed scaled ``[n, d]``."""
        combined = self.layers(self.places(columns))
        return torch.cat([self.clip(columns * self.unit), combined], dim=1)


class ExactPeriodic(nn.Module):
    """`Periodic` on the grid: turns, waves by table, column layers."""

    turns: Tensor

    def __init__(self, fitted: Periodic, bits: int, reach: FloatArray) -> None:
        super().__init__()
        turns = fitted.frequencies.detach().double() / (2 * np.pi)
        self.register_buffer("turns", turns * 2.0**ARGUMENT_BITS)
        self.waves = Waves(WAVE_BITS)
        inputs = turns.shape[0] * turns.shape[1] * 2
        self.width = inputs
        entering = Columns.of(WAVE_BITS, np.full(inputs, 1.0))
        self.clip = ClipColumns(-entering.most, entering.most, deliberate=True)
        self.layers = ExactColumnLayers(fitted.columns, entering, bits, reach)
        self.columns = self.layers.columns

    def forward(self, columns: Tensor) -> Tensor:
        """Embed scaled ``[n, d]``."""
        inside = columns.clamp(-_FARTHEST, _FARTHEST)
        turns = (inside.unsqueeze(-1) * self.turns).round()
        waves = self.waves(turns).reshape(-1, self.width)
        return cast("Tensor", self.layers(self.clip(waves)))
