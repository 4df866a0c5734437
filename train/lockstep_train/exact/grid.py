"""Power-of-two grids: how fine weights and activations may be so that no partial sum rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntegerArray = NDArray[np.int64]

MANTISSA_BITS = 53
SPARE_BITS = 1
"""Bits that stay empty above the largest sum that a unit can reach."""

_SMALLEST = 2.0**-60


@dataclass(frozen=True)
class Columns:
    """What is known of a tensor of whole numbers, column by column.

    A whole number ``k`` of column ``i`` stands for ``k · 2^-bits[i]``.

    Attributes:
        bits: of the fraction, ``[width]``.
        most: largest size of a whole number, ``[width]``.
    """

    bits: IntegerArray
    most: FloatArray

    @classmethod
    def of(cls, bits: int, reach: FloatArray) -> Self:
        """Columns of one grid.

        Args:
            bits: of the fraction.
            reach: largest size of what the whole numbers stand for, ``[width]``.
        """
        most = np.maximum(np.rint(np.ldexp(reach, bits)), 1.0)
        return cls(np.full(len(reach), bits, np.int64), short(most))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """The columns of several tensors that stand side by side."""
        return cls(
            np.concatenate([part.bits for part in parts]),
            np.concatenate([part.most for part in parts]),
        )

    @property
    def width(self) -> int:
        """How many they are."""
        return len(self.bits)

    @property
    def reach(self) -> FloatArray:
        """Largest size of what the whole numbers stand for, ``[width]``."""
        return np.ldexp(self.most, -self.bits)


def short(numbers: FloatArray) -> FloatArray:
    """The nearest numbers that float32 holds.

    The exporter may write a number that stands in the code of a network in float32.
    """
    return numbers.astype(np.float32).astype(np.float64)


def fractions(weight: FloatArray, bias: FloatArray, inputs: Columns) -> IntegerArray:
    """Bits of the fraction that a layer's sums may have, unit by unit.

    Args:
        weight: ``[n_units, width]``.
        bias: ``[n_units]``.
        inputs: the columns that enter.
    """
    largest = np.abs(weight) @ inputs.reach + np.abs(bias)
    whole = np.ceil(np.log2(np.maximum(largest, _SMALLEST))).astype(np.int64)
    bits: IntegerArray = MANTISSA_BITS - SPARE_BITS - whole
    return bits


def weights_on_grid(
    weight: FloatArray,
    bias: FloatArray,
    inputs: Columns,
    unit_bits: int,
    *,
    most_fraction: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Round a layer's weights so that every sum of every unit is exact in float64.

    A unit's sums lie on one grid ``2^-f``. Its fraction ``f`` is the largest for which
    ``Σ|w|·max|a| + |b|`` leaves `SPARE_BITS` of the 53 empty; the weight of an input on the grid
    ``2^-s`` is then rounded to the grid ``2^-(f - s)``. The scales of the inputs and of the answer
    are folded into the weights, which changes none of their bits but the exponents.

    Args:
        weight: ``[n_units, width]``.
        bias: ``[n_units]``.
        inputs: the columns that enter.
        unit_bits: a sum of ``k`` is to stand for ``k · 2^-unit_bits``.
        most_fraction: bits of the fraction at most, where all units must lie on one grid.

    Returns:
        Weight and bias for inputs in whole numbers.
    """
    fraction = fractions(weight, bias, inputs)
    if most_fraction is not None:
        fraction = np.minimum(fraction, most_fraction)
    steps = np.rint(np.ldexp(weight, fraction[:, None] - inputs.bits))
    scale = unit_bits - fraction
    return np.ldexp(steps, scale[:, None]), np.ldexp(np.rint(np.ldexp(bias, fraction)), scale)


def balanced_bits(weight: FloatArray, reach: FloatArray, size: float) -> int:
    """Bits of the activations' fraction at which their rounding costs what the weights' does.

    A unit's error is about ``2^-s · ‖w‖`` from the activations and ``2^-(f - s) · ‖a‖`` from the
    weights, where ``f`` is what the bound leaves; both are equal at
    ``s = (f + log2(‖w‖ / ‖a‖)) / 2``.

    Args:
        weight: of every unit that the activations enter, ``[n_units, width]``.
        reach: largest size of each activation, ``[width]``.
        size: root of the mean squared norm of a row of activations.
    """
    largest = max(float(np.median(np.abs(weight) @ reach)), _SMALLEST)
    norm = max(float(np.median(np.linalg.norm(weight, axis=1))), _SMALLEST)
    fraction = MANTISSA_BITS - SPARE_BITS - np.log2(largest)
    bits = (fraction + np.log2(norm / max(size, _SMALLEST))) / 2
    return int(np.clip(np.floor(bits), 8, 40))
