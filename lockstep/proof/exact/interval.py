"""The facts about a tensor: its bounds, its grid, and what may differ between processors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PRECISION: Final = {np.dtype(np.float64): 53, np.dtype(np.float32): 24}
"""Bits of the significand, by type."""

FINEST: Final = {53: -1074, 24: -149}
"""Exponent of the smallest positive number, by the bits of the significand."""

_HIGHEST: Final = {53: 1023, 24: 127}

_TYPES = frozenset(map(np.dtype, (np.float64, np.float32, np.int64, np.int32, np.bool_)))
_COARSEST = 512


class Broken(Exception):
    """The argument for exactness breaks at a node.

    Attributes:
        reason: one clause.
        unit: index of the unit of the tensor, if it is a single unit.
    """

    def __init__(self, reason: str, unit: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.unit = reason, unit


@dataclass(frozen=True)
class Interval:
    """The facts about a tensor, for a batch of one row.

    Attributes:
        low: lowest value of each element, in the tensor's own type and shape.
        high: highest value of each element.
        grid: every element is a multiple of ``2^grid``; None if no such exponent is known.
        reach: largest size of any partial sum of an element, in any order; None if the
            bounds are enough.
        nan: whether an element may be NaN.
        zero: whether the sign of a zero may depend on the processor or library.
        product: whether it is a rounded product, which fused arithmetic would not round.
        accumulated: whether it is a sum, into whose terms an optimiser may move a factor.
        constant: whether its elements are in the file.
        tests: for a boolean, the test and the tensor: ``("nan", name)`` or ``("zero", name)``.
    """

    low: Array
    high: Array
    grid: int | None = None
    reach: Array | None = field(default=None)
    nan: bool = False
    zero: bool = False
    product: bool = False
    accumulated: bool = False
    constant: bool = False
    tests: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.low.dtype not in _TYPES:
            raise Broken(f"its type is {self.low.dtype}, of which nothing is known")

    @classmethod
    def of(cls, array: Array) -> Self:
        """The facts about a constant of the file."""
        floating = array.dtype.kind == "f"
        return cls(
            array,
            array,
            grid=grid_of(array) if array.dtype.kind in "fi" else None,
            nan=floating and bool(np.isnan(array).any()),
            constant=True,
        )

    @classmethod
    def anything(cls, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Self:
        """The facts about an input: it may hold any bits."""
        if dtype.kind != "f":
            raise Broken(f"its type is {dtype}, and only floats may be given")
        low = np.full(shape, -np.inf, dtype)
        return cls(low, -low, nan=True)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The tensor's type."""
        return self.low.dtype

    @property
    def precision(self) -> int:
        """Bits of the significand of its type."""
        return PRECISION[self.dtype]

    @property
    def floating(self) -> bool:
        """Whether its elements are floats."""
        return self.dtype.kind == "f"

    @property
    def size(self) -> Array:
        """Largest absolute value of each element or of its partial sums, as float64."""
        if self.reach is not None:
            return self.reach
        return np.maximum(np.abs(self.low.astype(np.float64)), np.abs(self.high.astype(np.float64)))

    @property
    def finite(self) -> bool:
        """Whether no element is infinite or NaN."""
        return not self.nan and bool(np.isfinite(self.size).all())

    def may_be_zero(self) -> Array:
        """Which elements may be 0."""
        return (self.low <= 0) & (self.high >= 0)

    def settled(self, **changes: Any) -> Self:
        """A copy with changes, without the facts that only sums, products and constants have."""
        return replace(
            self,
            **{
                "reach": None,
                "product": False,
                "accumulated": False,
                "constant": False,
                "tests": None,
                **changes,
            },
        )


def grid_of(array: Array, axis: int | None = None) -> Any:
    """The coarsest grid of numbers: the largest ``g`` so that each is a multiple of ``2^g``.

    Zeros lie on every grid.

    Args:
        array: floats or whole numbers.
        axis: the axis that is reduced; None for the whole array.

    Returns:
        An int for the whole array, or an array of ints for an axis. None if a number is not finite
        or is not a float64.
    """
    floats = array.astype(np.float64)
    if not np.isfinite(floats).all() or not (floats == array).all():
        return None
    significand, exponent = np.frexp(floats)
    steps = np.ldexp(significand, 53).astype(np.int64)
    lowest = np.frexp((steps & -steps).astype(np.float64))[1] - 1
    finest = np.where(steps == 0, _COARSEST, exponent - 53 + lowest)
    if axis is None:
        return int(finest.min(initial=_COARSEST))
    return finest.min(axis=axis, initial=_COARSEST)


def common_grid(*grids: int | None) -> int | None:
    """The finest of several grids, on which the numbers of all lie; None if one is unknown."""
    known = [grid for grid in grids if grid is not None]
    return max(min(known), FINEST[53]) if len(known) == len(grids) else None


def room(size: Array, grid: Any, precision: int) -> Array:
    """The spare bits of the significand for numbers of a size on a grid; infinite for 0.

    A sum of sizes that is computed in float64 reaches ``2^53`` steps exactly if the true sum does:
    below that no addition rounds, and rounding never brings a sum back below it.

    Args:
        size: largest absolute value of each number or of its partial sums.
        grid: of the numbers.
        precision: bits of the significand.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(precision + grid - np.log2(size), np.float64)


def fits(size: Array, grid: int, precision: int) -> bool:
    """Whether all numbers up to a size on a grid are floats of a precision."""
    return bool((size < limit(grid, precision)).all())


def limit(grid: Any, precision: int) -> Any:
    """The size below which every number on a grid is a float of a precision, by digits and range.

    Args:
        grid: exponents.
        precision: bits of the significand.
    """
    return np.ldexp(1.0, np.minimum(precision + grid, _HIGHEST[precision]))
