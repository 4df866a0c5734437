"""Operators that select numbers and compute none: bounds, comparisons, look-ups."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from lockstep.proof.exact.arithmetic import same_type
from lockstep.proof.exact.interval import Array, Broken, Interval, common_grid
from lockstep.proof.exact.operation import Operation


def extreme(operation: Operation) -> Interval:
    """``Min`` and ``Max``."""
    given = [value for value in operation.values if value is not None]
    return _extreme(given, "least" if operation.operator == "Min" else "most")


def relu(operation: Operation) -> Interval:
    """``Relu``: the larger of a number and 0."""
    (value,) = operation.operands(1)
    return _extreme([value, Interval.of(np.zeros(1, value.dtype))], "most")


def clip(operation: Operation) -> Interval:
    """``Clip``: the bounds are optional inputs."""
    value, least, most = operation.value(0), operation.value(1), operation.value(2)
    if value is None:
        raise Broken("it has nothing to bound")
    for bound in (least, most):
        if bound is not None and not bound.constant:
            raise Broken("its bounds must be constants")
    bounded = value if least is None else _extreme([value, least], "most")
    return bounded if most is None else _extreme([bounded, most], "least")


def _extreme(values: list[Interval], which: str) -> Interval:
    same_type(*values)
    if any(value.nan for value in values):
        raise Broken("it may meet NaN, which libraries compare in unlike ways")
    function = np.minimum if which == "least" else np.maximum
    low = reduce(function, [value.low for value in values])
    high = reduce(function, [value.high for value in values])
    zeros = sum(value.may_be_zero().astype(int) for value in values) > 1
    unsure = any(value.zero for value in values) or bool(np.any(zeros))
    bounded = any(value.constant and value.finite for value in values)
    return Interval(
        low,
        high,
        grid=common_grid(*(value.grid for value in values)),
        zero=unsure and bool(((low <= 0) & (high >= 0)).any()),
        **({} if bounded else _inherited(*values)),
    )


def _inherited(*values: Interval) -> dict[str, Any]:
    """The facts about how numbers were made, which a choice among them keeps: it rounds none."""
    accumulated = any(value.accumulated for value in values)
    reach = reduce(np.maximum, [value.size for value in values]) if accumulated else None
    product = any(value.product for value in values)
    return {"reach": reach, "product": product, "accumulated": accumulated}


def where(operation: Operation) -> Interval:
    """``Where``: one of two by a boolean. A test for NaN or 0 may take that value out."""
    truth, chosen, other = operation.operands(3)
    same_type(chosen, other)
    if truth.dtype.kind != "b":
        raise Broken("it chooses by what is no truth")
    shape = np.broadcast_shapes(truth.low.shape, chosen.low.shape, other.low.shape)
    low = np.broadcast_to(np.fmin(chosen.low, other.low), shape)
    high = np.broadcast_to(np.fmax(chosen.high, other.high), shape)
    replaced = truth.tests[0] if truth.tests and truth.tests[1] == operation.names[2] else None
    return Interval(
        low,
        high,
        grid=common_grid(chosen.grid, other.grid),
        nan=chosen.nan or (other.nan and replaced != "nan"),
        zero=chosen.zero or (other.zero and replaced != "zero"),
        **_inherited(chosen, other),
    )


def is_nan(operation: Operation) -> Interval:
    """``IsNaN``."""
    return _truth(operation.operands(1)[0].low.shape, tests=("nan", operation.names[0]))


def compare(operation: Operation) -> Interval:
    """``Equal``, ``Less``, ``LessOrEqual``, ``Greater``, ``GreaterOrEqual``."""
    left, right = operation.operands(2)
    same_type(left, right)
    shape = np.broadcast_shapes(left.low.shape, right.low.shape)
    zero = right.constant and not right.low.any() and left.floating
    tests = ("zero", operation.names[0]) if operation.operator == "Equal" and zero else None
    return _truth(shape, tests=tests)


def logic(operation: Operation) -> Interval:
    """``And``, ``Or``, ``Not``."""
    given = [value for value in operation.values if value is not None]
    return _truth(np.broadcast_shapes(*(value.low.shape for value in given)))


def _truth(shape: tuple[int, ...], tests: tuple[str, str] | None = None) -> Interval:
    return Interval(np.zeros(shape, np.bool_), np.ones(shape, np.bool_), tests=tests)


def reduce_extreme(operation: Operation) -> Interval:
    """``ReduceMax`` and ``ReduceMin``."""
    value = operation.value(0)
    axes = operation.attribute("axes", None)
    over = operation.constant(1) if axes is None else np.array(axes)
    if value is None or over is None:
        raise Broken("the axes that it looks over must be known")
    if value.nan:
        raise Broken("it may meet NaN, which libraries compare in unlike ways")
    function = np.max if operation.operator == "ReduceMax" else np.min
    keep = bool(operation.attribute("keepdims", 1))
    along = tuple(int(axis) for axis in over)
    if any(axis % value.low.ndim == 0 for axis in along):
        raise Broken("it looks over the rows of the batch")
    return value.settled(
        low=function(value.low, axis=along, keepdims=keep),
        high=function(value.high, axis=along, keepdims=keep),
        reach=value.size.max(axis=along, keepdims=keep) if value.accumulated else None,
        zero=bool(value.may_be_zero().any()),
        product=value.product,
        accumulated=value.accumulated,
    )


def gather(operation: Operation) -> Interval:
    """``Gather``: known places of any tensor, or computed places of a constant on axis 0."""
    data, places = operation.operands(2)
    axis = int(operation.attribute("axis", 0))
    return _looked_up(data, places, axis)


def gather_nd(operation: Operation) -> Interval:
    """``GatherND`` with index tuples of length 1."""
    data, places = operation.operands(2)
    if operation.attribute("batch_dims", 0) or places.low.shape[-1:] != (1,):
        raise Broken("only places of one number each are known")
    single = places.settled(
        low=places.low[..., 0], high=places.high[..., 0], constant=places.constant
    )
    return _looked_up(data, single, 0)


def _looked_up(data: Interval, places: Interval, axis: int) -> Interval:
    if bool(np.array_equal(places.low, places.high)):
        low, high = (np.take(each, places.low, axis=axis) for each in (data.low, data.high))
        reach = None if data.reach is None else np.take(data.reach, places.low, axis=axis)
        return Interval(
            low,
            high,
            grid=data.grid,
            reach=reach,
            nan=data.nan,
            zero=data.zero,
            product=data.product,
            accumulated=data.accumulated,
            constant=data.constant and places.constant,
        )
    if not data.constant or axis != 0:
        raise Broken("it looks up computed places in what is no constant table")
    if int(places.low.min()) < 0 or int(places.high.max()) >= len(data.low):
        raise Broken(
            f"its places lie between {int(places.low.min())} and {int(places.high.max())}, and the "
            f"table has {len(data.low)}"
        )
    low, high = _ranges(data.low, places)
    return Interval(low, high, grid=data.grid, nan=data.nan)


def _ranges(table: Array, places: Interval) -> tuple[Array, Array]:
    """The lowest and highest table entries between the bounds of each place."""
    stretches = np.stack([places.low.reshape(-1), places.high.reshape(-1)], axis=1)
    known, element = np.unique(stretches, axis=0, return_inverse=True)
    low = np.stack([table[a : b + 1].min(axis=0) for a, b in known])
    high = np.stack([table[a : b + 1].max(axis=0) for a, b in known])
    shape = (*places.low.shape, *table.shape[1:])
    element = element.reshape(-1)
    return low[element].reshape(shape), high[element].reshape(shape)
