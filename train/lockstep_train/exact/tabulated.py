"""Functions by tables: a smooth one as straight pieces whose every step is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lockstep_train.exact.grid import FloatArray
from lockstep_train.exact.layer import buffer

ARGUMENT_BITS = 20
"""Bits of the fraction of a tabulated function's argument."""

# A slope is rounded to the table's grid; it is multiplied by fewer steps than this many bits tell.
_EXTRA_BITS = 13


class TabulatedFunction(nn.Module):
    """A function of one number, linear between the points of a table.

    The argument, a whole number of ``2^-ARGUMENT_BITS``, falls into a cell; the answer is the
    table's value there plus its slope times the steps from the cell's begin: a product and a sum of
    whole numbers of few bits, which do not round. Beyond the table its first and last pieces go on.

    Shape: any → the same, not yet rounded to the answer's grid.

    Args:
        function: what is tabulated.
        low: argument at the table's begin, a whole number.
        high: at its end, a whole number.
        cell_bits: ``2^cell_bits`` cells lie in a stretch of 1.
        bits: an answer of ``k`` stands for ``k · 2^-bits``.
    """

    values: Tensor
    slopes: Tensor

    def __init__(
        self,
        function: Callable[[FloatArray], FloatArray],
        low: int,
        high: int,
        cell_bits: int,
        bits: int,
    ) -> None:
        super().__init__()
        edges = np.arange(low * 2**cell_bits, high * 2**cell_bits + 1) / 2**cell_bits
        heights = function(edges)
        self.steps = 2.0 ** (ARGUMENT_BITS - cell_bits)
        self.first, self.last = float(low * 2**cell_bits), float(high * 2**cell_bits - 1)
        fraction = _EXTRA_BITS
        values = np.rint(np.ldexp(heights[:-1], bits + fraction))
        slopes = np.rint(np.ldexp(np.diff(heights) / self.steps, bits + fraction))
        self.register_buffer("values", buffer(np.ldexp(values, -fraction)))
        self.register_buffer("slopes", buffer(np.ldexp(slopes, -fraction)))

    def forward(self, argument: Tensor) -> Tensor:
        """Answers to whole numbers."""
        cell = (argument * (1 / self.steps)).floor().clamp(self.first, self.last)
        place = (cell - self.first).to(torch.int64)
        return self.values[place] + self.slopes[place] * (argument - cell * self.steps)


class Waves(nn.Module):
    """Sines and cosines of turns. Shape: ``[..., k]`` whole numbers → ``[..., 2k]``.

    A whole number ``k`` stands for ``k · 2^-ARGUMENT_BITS`` turns.

    Args:
        bits: of the answer's fraction.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.turn = 2.0**ARGUMENT_BITS
        self.sine = TabulatedFunction(lambda turns: np.sin(2 * np.pi * turns), 0, 1, 12, bits)
        self.cosine = TabulatedFunction(lambda turns: np.cos(2 * np.pi * turns), 0, 1, 12, bits)

    def forward(self, turns: Tensor) -> Tensor:
        """Waves at whole numbers."""
        whole = (turns * (1 / self.turn)).floor() * self.turn
        # The difference lies between the bounds already; they are there for the proof.
        part = (turns - whole).clamp(0.0, self.turn - 1)
        return torch.cat([self.sine(part), self.cosine(part)], dim=-1)
