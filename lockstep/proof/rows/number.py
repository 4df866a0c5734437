"""The whole numbers that a graph computes with shapes, as functions of the batch size.

A number is an ``int``, an :class:`Affine` one (``slope · batch + offset``), or an
:class:`UnknownNumber`. Shapes need no fractions, so a number that may not be whole is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Float32 holds every whole number up to here, so the type in which a graph computes makes no
# difference.
EXACT_LIMIT: Final = 2**24
# ONNX writes "to the end" as the largest number of a type.
ENDLESS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Affine:
    """``slope · batch + offset``, with a slope other than 0; the batch has at least one row."""

    slope: int
    offset: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class UnknownNumber:
    """One number that is not known. It is equal to itself only.

    Attributes:
        follows: whether it may depend on the batch size. If not, it is the same in every run.
    """

    follows: bool


Number = int | Affine | UnknownNumber
NumberArray = NDArray[Any]  # objects, each a Number


def follows_batch(number: Number) -> bool:
    """Whether a number depends, or may depend, on the batch size."""
    return isinstance(number, Affine) or (isinstance(number, UnknownNumber) and number.follows)


def array_of(numbers: Iterable[Number]) -> NumberArray:
    """A one-dimensional array of numbers."""
    return np.fromiter(numbers, dtype=object)


def product(numbers: Iterable[Number]) -> Number:
    """The product of lengths; 1 if there are none."""
    lengths = list(numbers)
    whole: Number = math.prod(length for length in lengths if isinstance(length, int))
    return reduce(multiply, (length for length in lengths if not isinstance(length, int)), whole)


def known_product(numbers: Iterable[Number]) -> int | None:
    """The product of lengths, or None if it is not known."""
    whole = product(numbers)
    return whole if isinstance(whole, int) else None


def add(left: Number, right: Number) -> Number:
    """``left + right``."""
    if isinstance(left, UnknownNumber) or isinstance(right, UnknownNumber):
        return _unknown(left, right)
    return _number(_slope(left) + _slope(right), _offset(left) + _offset(right))


def subtract(left: Number, right: Number) -> Number:
    """``left - right``."""
    return add(left, negate(right))


def negate(number: Number) -> Number:
    """``-number``."""
    return _unknown(number) if isinstance(number, UnknownNumber) else multiply(-1, number)


def multiply(left: Number, right: Number) -> Number:
    """``left · right``; a product that grows with the square of the batch is unknown."""
    if isinstance(left, UnknownNumber) or isinstance(right, UnknownNumber):
        return left if right == 1 else right if left == 1 else _unknown(left, right)
    if isinstance(left, int):
        return _number(left * _slope(right), left * _offset(right))
    if isinstance(right, int):
        return _number(right * left.slope, right * left.offset)
    return UnknownNumber(follows=True)


def divide(left: Number, right: Number) -> Number:
    """``left / right`` if there is no remainder, so that rounding makes no difference."""
    if isinstance(left, UnknownNumber) or isinstance(right, UnknownNumber) or right == 0:
        return _unknown(left, right)
    if isinstance(right, Affine):
        times = _slope(left) // right.slope
        return times if multiply(times, right) == left else _unknown(left, right)
    if _slope(left) % right or _offset(left) % right:
        return _unknown(left, right)
    return _number(_slope(left) // right, _offset(left) // right)


def _remainder(left: Number, right: Number) -> Number:
    if not isinstance(right, int) or right <= 0 or isinstance(left, UnknownNumber):
        return _unknown(left, right)
    if _slope(left) % right or _slope(left) < 0 or _offset(left) < 0:
        return _unknown(left, right)
    return _offset(left) % right


def _absolute(number: Number) -> Number:
    signs = _signs(number)
    return number if signs <= {0, 1} else negate(number) if signs <= {-1, 0} else _unknown(number)


def _larger(left: Number, right: Number) -> Number:
    signs = _signs(subtract(left, right))
    return left if signs <= {0, 1} else right if signs <= {-1, 0} else _unknown(left, right)


def smaller(left: Number, right: Number) -> Number:
    """The smaller of two numbers, if it is the same one for every batch size."""
    return negate(_larger(negate(left), negate(right)))


def _signs(number: Number) -> set[int]:
    """The signs that a number takes over all batch sizes from 1."""
    if isinstance(number, UnknownNumber):
        return {-1, 0, 1}
    first = _slope(number) + _offset(number)
    last = _slope(number) or _offset(number)
    sign_first, sign_last = ((value > 0) - (value < 0) for value in (first, last))
    return set(range(min(sign_first, sign_last), max(sign_first, sign_last) + 1))


def _compare(holds_for: set[int]) -> Callable[[Number, Number], Number]:
    """A comparison that holds if the difference of its operands has one of these signs."""

    def compare(left: Number, right: Number) -> Number:
        signs = _signs(subtract(left, right))
        if signs <= holds_for:
            return 1
        return _unknown(left, right) if signs & holds_for else 0

    return compare


def _not(number: Number) -> Number:
    return int(not number) if isinstance(number, int) else _unknown(number)


def _both(left: Number, right: Number) -> Number:
    known = isinstance(left, int) and isinstance(right, int)
    return int(bool(left) and bool(right)) if known else _unknown(left, right)


def _either(left: Number, right: Number) -> Number:
    return _not(_both(_not(left), _not(right)))


def choose(condition: Number, yes: Number, no: Number) -> Number:
    """``yes`` if the condition is not 0, else ``no``."""
    if isinstance(condition, int):
        return yes if condition else no
    return _unknown(condition, yes, no)


def _identity(number: Number) -> Number:
    return number


def _rounded(number: Number) -> Number:
    return _unknown(number) if isinstance(number, UnknownNumber) else number


# Each operator as a function of whole numbers; rounding leaves them unchanged.
ARITHMETIC: Final[Mapping[str, Callable[..., Number]]] = {
    "Identity": _identity, "Ceil": _rounded, "Floor": _rounded, "Round": _rounded,
    "Neg": negate, "Abs": _absolute, "Not": _not,
    "Add": add, "Sub": subtract, "Mul": multiply, "Div": divide, "Mod": _remainder,
    "Max": _larger, "Min": smaller, "Sum": add,
    "And": _both, "Or": _either,
    "Equal": _compare({0}), "Less": _compare({-1}), "LessOrEqual": _compare({-1, 0}),
    "Greater": _compare({1}), "GreaterOrEqual": _compare({0, 1}),
    "Where": choose,
}  # fmt: skip
VARIADIC: Final = frozenset({"Max", "Min", "Sum"})


def compute(operator: str, operands: list[NumberArray]) -> NumberArray | None:
    """The result of an elementwise operator on broadcast numbers; None if it is not arithmetic."""
    function = ARITHMETIC.get(operator)
    if function is None:
        return None
    if operator in VARIADIC:
        whole = reduce(np.frompyfunc(function, 2, 1), operands)
    else:
        whole = np.frompyfunc(function, len(operands), 1)(*operands)
    return np.asarray(whole, dtype=object)


def whole_numbers(values: NDArray[Any]) -> NumberArray:
    """The elements of a tensor in the file as numbers; those that are not whole are unknown."""
    if values.dtype.kind in "iub":
        return np.asarray(np.frompyfunc(int, 1, 1)(values), dtype=object)
    others: dict[float, UnknownNumber] = {}

    def from_float(value: float) -> Number:
        value = float(value)
        if math.isfinite(value) and value.is_integer() and abs(value) <= EXACT_LIMIT:
            return int(value)
        # Equal values get the same unknown number, so that they stay equal.
        return others.setdefault(value, UnknownNumber(follows=False))

    return np.asarray(np.frompyfunc(from_float, 1, 1)(values), dtype=object)


def _slope(number: int | Affine) -> int:
    return number.slope if isinstance(number, Affine) else 0


def _offset(number: int | Affine) -> int:
    return number.offset if isinstance(number, Affine) else number


def _number(slope: int, offset: int) -> Number:
    if max(abs(slope), abs(offset)) > EXACT_LIMIT:
        return UnknownNumber(follows=slope != 0)
    return Affine(slope, offset) if slope else offset


def _unknown(*origins: Number) -> UnknownNumber:
    return UnknownNumber(follows=any(map(follows_batch, origins)))
