"""Layers in exact arithmetic: linear, rounding to a grid, clipping."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lockstep_train.exact.grid import Columns, FloatArray, short, weights_on_grid


class ExactModule(Protocol):
    """A module that answers in whole numbers."""

    columns: Columns

    def __call__(self, rows: Tensor, /) -> Tensor:
        """Whole numbers in float64."""


def buffer(values: Any) -> Tensor:
    """Numbers as a float64 tensor."""
    return torch.from_numpy(np.array(values, np.float64))


class ExactLinear(nn.Module):
    """A linear layer none of whose sums rounds. Shape: ``[width, n]`` → ``[n_units, n]``.

    The rows stand side by side, not one above the other: a product of a large weight and a few rows
    is then computed from the weight as it lies; libraries would otherwise rearrange it first.

    Args:
        weight: ``[n_units, width]``.
        bias: ``[n_units]``.
        inputs: the columns that enter, in whole numbers.
        unit_bits: a sum of ``k`` stands for ``k · 2^-unit_bits``.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weight: FloatArray, bias: FloatArray, inputs: Columns, unit_bits: int
    ) -> None:
        super().__init__()
        on_grid = weights_on_grid(weight, bias, inputs, unit_bits)
        self.register_buffer("weight", buffer(on_grid[0]))
        self.register_buffer("bias", buffer(on_grid[1][:, None]))

    def forward(self, columns: Tensor) -> Tensor:
        """Sums of ``[width, n]``."""
        return torch.addmm(self.bias, self.weight, columns)


class ExactHead(ExactLinear):
    """An `ExactLinear` that gives each row its own line again.

    Shape: ``[width, n]`` → ``[n, n_units]``.
    """

    def forward(self, columns: Tensor) -> Tensor:
        """Sums of ``[width, n]``."""
        return functional.linear(columns.t(), self.weight, self.bias[:, 0])


class Clip(nn.Module):
    """Rounds to whole numbers and bounds them. Shape: any → the same.

    Args:
        least: lowest number; 0 is also what makes it a ReLU.
        most: highest number.
        rectifies: whether numbers below ``least`` are meant to end there.
        rows_axis: along which the rows of what it bounds lie.
    """

    def __init__(
        self, least: float, most: float, *, rectifies: bool = False, rows_axis: int = 0
    ) -> None:
        super().__init__()
        bounds = np.array([least, most])
        if (short(bounds) != bounds).any():
            raise ValueError(f"The bounds of a Clip must be numbers of float32, got {bounds}.")
        self.least, self.most, self.rectifies = least, most, rectifies
        self.rows_axis = rows_axis

    def forward(self, rows: Tensor) -> Tensor:
        """The whole numbers next to the rows' values, half to even, within the bounds."""
        return rows.round().clamp(self.least, self.most)

    def saturated(self, rows: Tensor) -> Tensor:
        """Which values lie outside, other than those that it is there to rectify."""
        whole = rows.round()
        above = whole > self.most
        return above if self.rectifies else above | (whole < self.least)


class ClipColumns(nn.Module):
    """Rounds to whole numbers and bounds each column. Shape: ``[n, width]`` → the same.

    Args:
        least: lowest number of each column.
        most: highest number of each column.
        deliberate: whether the network that was fitted has these bounds too.

    Attributes:
        rows_axis: along which the rows of what it bounds lie.
    """

    least: Tensor
    most: Tensor
    rows_axis = 0

    def __init__(self, least: FloatArray, most: FloatArray, *, deliberate: bool = False) -> None:
        super().__init__()
        self.deliberate = deliberate
        self.register_buffer("least", buffer(least))
        self.register_buffer("most", buffer(most))

    def forward(self, rows: Tensor) -> Tensor:
        """The whole numbers next to the rows' values, half to even, within the bounds."""
        return torch.minimum(torch.maximum(rows.round(), self.least), self.most)

    def saturated(self, rows: Tensor) -> Tensor:
        """Which values lie outside bounds that the fitted network does not have."""
        whole = rows.round()
        outside = (whole > self.most) | (whole < self.least)
        return torch.zeros_like(outside) if self.deliberate else outside


def folded(linear: nn.Linear, norm: nn.BatchNorm1d | None) -> tuple[FloatArray, FloatArray]:
    """Weight and bias of a Linear with the BatchNorm behind it, as it is in eval mode.

    Args:
        linear: the layer.
        norm: with running statistics; None where there is none.
    """
    weight = _numbers(linear.weight)
    bias = np.zeros(len(weight)) if linear.bias is None else _numbers(linear.bias)
    if norm is None:
        return weight, bias
    mean, variance = (_numbers(cast("Tensor", x)) for x in (norm.running_mean, norm.running_var))
    scale = _numbers(norm.weight) / np.sqrt(variance + norm.eps)
    return weight * scale[:, None], (bias - mean) * scale + _numbers(norm.bias)


def _numbers(tensor: Tensor) -> FloatArray:
    return tensor.detach().cpu().to(torch.float64).numpy()
