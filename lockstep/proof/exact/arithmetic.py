"""Elementwise arithmetic: operators that IEEE 754 rounds correctly, and those that do not round."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lockstep.proof.exact.interval import Array, Broken, Interval, common_grid, fits
from lockstep.proof.exact.operation import Operation

_LEAST_NORMAL = 2.0**-126
_LARGEST_WHOLE = 2.0**62
# Exponent of float32's least normal number: products on this grid or a coarser one are never
# subnormal.
_FINEST_PRODUCT = -126


def add(operation: Operation) -> Interval:
    """``Add``: exact if the operands have a common grid with room, else rounded once."""
    return _sum(*operation.operands(2))


def subtract(operation: Operation) -> Interval:
    """``Sub``: as `add`."""
    left, right = operation.operands(2)
    return _sum(left, _negated(right))


def negate(operation: Operation) -> Interval:
    """``Neg``: never rounds."""
    return _negated(operation.operands(1)[0])


def _negated(value: Interval) -> Interval:
    return value.settled(
        low=-value.high,
        high=-value.low,
        reach=value.reach,
        product=value.product,
        accumulated=value.accumulated,
    )


def _sum(left: Interval, right: Interval) -> Interval:
    same_type(left, right)
    if left.product or right.product:
        raise Broken(
            "it adds to a product that was rounded, which a processor with fused multiply-add may "
            "not round"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = left.low + right.low, left.high + right.high
        size = left.size + right.size
    opposite = (np.isinf(left.low) & np.isinf(right.high)) | (
        np.isinf(left.high) & np.isinf(right.low)
    )
    undefined = left.nan or right.nan or (left.floating and bool(opposite.any()))
    grid = common_grid(left.grid, right.grid)
    exact = grid is not None and _whole(left, size, grid)
    accumulated = left.accumulated or right.accumulated
    if accumulated and not exact:
        raise Broken(
            "it rounds what is added to a sum, and an optimiser may make it one of the terms"
        )
    both = left.may_be_zero() & right.may_be_zero()
    return _made(
        (low, high),
        # A rounded sum is still a multiple of the grid: beyond its room the floats are coarser.
        grid=grid,
        reach=size if exact else None,
        nan=undefined,
        zero=bool(both.any()) and (left.zero or right.zero),
        accumulated=accumulated,
    )


def _whole(value: Interval, size: Array, grid: int) -> bool:
    if not value.floating:
        return bool((size < _LARGEST_WHOLE).all())
    return fits(size, grid, value.precision)


def _in_range(value: Interval, size: Array) -> bool:
    return value.floating and bool((size <= np.finfo(value.dtype).max).all())


def multiply(operation: Operation) -> Interval:
    """``Mul``: exact if there is room for the digits of both factors, else rounded once."""
    left, right = operation.operands(2)
    same_type(left, right)
    scaled = _is_power_of_two(left) or _is_power_of_two(right)
    accumulated = left.accumulated or right.accumulated
    if accumulated and not scaled:
        raise Broken(
            "it multiplies a sum by what is no power of two, and an optimiser may move the factor "
            "into the terms"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        size = left.size * right.size
    grid = None
    if left.grid is not None and right.grid is not None:
        grid = left.grid + right.grid
        room = _whole(left, size, grid) or (scaled and _in_range(left, size))
        grid = grid if room and grid >= _FINEST_PRODUCT else None
    if grid is None and not left.floating:
        raise Broken("its whole numbers may wrap around")
    if accumulated and grid is None:
        raise Broken(
            "it scales a sum beyond the range of its type, where the factor's place matters"
        )
    low, high = _corners(np.multiply, left, right)
    return _made(
        (low, high),
        grid=grid,
        reach=size if accumulated else None,
        nan=left.nan or right.nan or _zero_meets_infinity(left, right),
        zero=left.zero or right.zero,
        product=grid is None,
        accumulated=accumulated,
    )


def divide(operation: Operation) -> Interval:
    """``Div``: rounded once; the divisor must not be 0."""
    left, right = operation.operands(2)
    same_type(left, right)
    if not left.floating:
        raise Broken("it divides whole numbers, whose quotient operators round in unlike ways")
    if right.nan or bool(right.may_be_zero().any()):
        raise Broken("its divisor may be 0")
    if left.accumulated:
        raise Broken("it divides a sum, and an optimiser may move the divisor into the terms")
    low, high = _corners(np.divide, left, right)
    both = _infinite(left) & _infinite(right)
    return _made((low, high), nan=left.nan or bool(both.any()), zero=left.zero)


def modulo(operation: Operation) -> Interval:
    """``Mod`` with ``fmod``: exact for numbers ≥ 0 and a positive constant."""
    left, right = operation.operands(2)
    same_type(left, right)
    supported = operation.attribute("fmod", 0) == 1 and left.finite and bool((left.low >= 0).all())
    if not supported or not right.constant or not bool((right.low > 0).all()):
        raise Broken("only the remainder of a number from 0 by a positive constant is known")
    grid = common_grid(left.grid, right.grid)
    if grid is None:
        raise Broken("the remainder of numbers that lie on no grid has no bound")
    top = right.high - np.asarray(2.0**grid, right.dtype)
    return _made(
        np.broadcast_arrays(np.zeros_like(left.low), np.minimum(left.high, top)),
        grid=grid,
        zero=left.zero,
    )


def root(operation: Operation) -> Interval:
    """``Sqrt``: rounded once, for numbers ≥ 0."""
    (value,) = operation.operands(1)
    if value.nan or not bool((value.low >= 0).all()):
        raise Broken("it takes the root of a number that may be negative")
    return _made((np.sqrt(value.low), np.sqrt(value.high)), zero=value.zero)


def rounded(operation: Operation) -> Interval:
    """``Round``, ``Floor``, ``Ceil``: exact, and the results are whole numbers."""
    (value,) = operation.operands(1)
    function = {"Round": np.rint, "Floor": np.floor, "Ceil": np.ceil}[operation.operator]
    low, high = function(value.low), function(value.high)
    return _made((low, high), grid=max(0, value.grid or 0), nan=value.nan, zero=value.zero)


def absolute(operation: Operation) -> Interval:
    """``Abs``: never rounds, and its zero is always +0."""
    (value,) = operation.operands(1)
    inside = (value.low <= 0) & (value.high >= 0)
    ends = np.abs(value.low), np.abs(value.high)
    low = np.where(inside, np.zeros_like(value.low), np.minimum(*ends))
    return _made(
        (low, np.maximum(*ends)),
        grid=value.grid,
        reach=value.reach,
        nan=value.nan,
        product=value.product,
        accumulated=value.accumulated,
    )


def cast(operation: Operation) -> Interval:
    """``Cast``: exact to a wider type or to whole numbers, rounded once to a narrower type."""
    (value,) = operation.operands(1)
    target = operation.cast_type()
    if value.dtype == target:
        return value
    if target.kind == "i":
        return _to_whole(value, target)
    if target.kind == "b":
        raise Broken("it makes truth of numbers")
    with np.errstate(over="ignore"):
        low, high = value.low.astype(target), value.high.astype(target)
    if value.dtype.kind == "i" and not fits(value.size, 0, np.finfo(target).nmant + 1):
        raise Broken("its whole numbers are larger than the float's digits")
    if target == np.float32 and value.dtype == np.float64:
        _refuse_subnormal(value)
    grid = 0 if value.dtype.kind in "bi" else value.grid
    return _made((low, high), grid=grid, nan=value.nan, zero=value.zero)


def _to_whole(value: Interval, target: np.dtype[np.int64]) -> Interval:
    largest = float(np.iinfo(target).max) / 2
    if not value.finite or not bool((value.size < largest).all()):
        raise Broken("it makes whole numbers of what may be NaN or too large")
    return _made((value.low.astype(target), value.high.astype(target)), grid=0)


def _refuse_subnormal(value: Interval) -> None:
    on_grid = value.grid is not None and value.grid >= -126
    normal = (value.low >= _LEAST_NORMAL) | (value.high <= -_LEAST_NORMAL)
    if not on_grid and not bool(normal.all()):
        raise Broken("a number may become subnormal in float32, which some processors take for 0")


def same_type(*values: Interval) -> None:
    """Refuse operands of different types.

    Raises:
        Broken: where two types differ.
    """
    if len({value.dtype for value in values}) > 1:
        raise Broken("its operands are of unlike types")


def _made(bounds: tuple[Array, ...], **known: object) -> Interval:
    low, high = np.broadcast_arrays(*bounds)
    return Interval(low, high, **known)  # type: ignore[arg-type]  # the callers name its fields


def _corners(
    function: Callable[[Array, Array], Array], left: Interval, right: Interval
) -> tuple[Array, Array]:
    """Bounds of a function that is monotonic in each operand, rounded as its results are."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        ends = [function(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    low, high = ends[0], ends[0]
    for end in ends[1:]:
        low, high = np.fmin(low, end), np.fmax(high, end)
    # A corner is NaN for 0 times infinity, or a quotient of infinities: then there is no bound.
    no_bound = (
        np.any([np.isnan(end) for end in ends], axis=0) if left.floating else np.zeros(1, bool)
    )
    if no_bound.any():
        low, high = np.where(no_bound, -np.inf, low), np.where(no_bound, np.inf, high)
    return low.astype(left.dtype), high.astype(left.dtype)


def _infinite(value: Interval) -> Array:
    return np.isinf(value.low) | np.isinf(value.high)


def _zero_meets_infinity(left: Interval, right: Interval) -> bool:
    if not left.floating:
        return False
    meets = (left.may_be_zero() & _infinite(right)) | (right.may_be_zero() & _infinite(left))
    return bool(meets.any())


def _is_power_of_two(value: Interval) -> bool:
    if not value.constant or not value.floating:
        return False
    significand = np.frexp(value.low)[0]
    return bool((np.abs(significand) == 0.5).all())
