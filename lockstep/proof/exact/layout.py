"""Operators that move numbers regardless of their values, for a batch of one row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lockstep.proof.exact.arithmetic import same_type
from lockstep.proof.exact.interval import Array, Broken, Interval, common_grid
from lockstep.proof.exact.operation import Operation

Move = Callable[[Array], Array]


def moved(value: Interval, move: Move) -> Interval:
    """The facts about a value after its numbers are moved."""
    return Interval(
        move(value.low),
        move(value.high),
        grid=value.grid,
        reach=None if value.reach is None else move(value.reach),
        nan=value.nan,
        zero=value.zero,
        product=value.product,
        accumulated=value.accumulated,
        constant=value.constant,
    )


def _first(operation: Operation) -> Interval:
    value = operation.value(0)
    if value is None:
        raise Broken("nothing enters it")
    return value


def _numbers(operation: Operation, place: int, what: str) -> tuple[int, ...]:
    given = operation.constant(place)
    if given is None:
        raise Broken(f"its {what} must be known")
    return tuple(int(number) for number in given.reshape(-1))


def identity(operation: Operation) -> Interval:
    """``Identity``."""
    return _first(operation)


def reshape(operation: Operation) -> Interval:
    """``Reshape``."""
    value, shape = _first(operation), list(_numbers(operation, 1, "shape"))
    if not operation.attribute("allowzero", 0):
        shape = [value.low.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return moved(value, lambda array: array.reshape(shape))


def transpose(operation: Operation) -> Interval:
    """``Transpose``."""
    order = operation.attribute("perm", None)
    return moved(_first(operation), lambda array: array.transpose(order))


def unsqueeze(operation: Operation) -> Interval:
    """``Unsqueeze``."""
    axes = _numbers(operation, 1, "axes")
    return moved(_first(operation), lambda array: np.expand_dims(array, axes))


def squeeze(operation: Operation) -> Interval:
    """``Squeeze`` of named axes. Without names it would remove the batch axis too."""
    axes = _numbers(operation, 1, "axes")
    return moved(_first(operation), lambda array: np.squeeze(array, axes))


def flatten(operation: Operation) -> Interval:
    """``Flatten`` of the axes after the batch."""
    if operation.attribute("axis", 1) != 1:
        raise Broken("only what lies behind the batch may be flattened")
    return moved(_first(operation), lambda array: array.reshape(len(array), -1))


def expand(operation: Operation) -> Interval:
    """``Expand``."""
    shape = _numbers(operation, 1, "shape")
    return moved(
        _first(operation),
        lambda array: np.broadcast_to(array, np.broadcast_shapes(array.shape, shape)),
    )


def concatenate(operation: Operation) -> Interval:
    """``Concat``."""
    parts = [value for value in operation.values if value is not None]
    same_type(*parts)
    axis = int(operation.attributes["axis"])

    def joined(arrays: list[Array]) -> Array:
        return np.concatenate(arrays, axis=axis)

    return Interval(
        joined([part.low for part in parts]),
        joined([part.high for part in parts]),
        grid=common_grid(*(part.grid for part in parts)),
        reach=joined([part.size for part in parts]) if parts[0].floating else None,
        nan=any(part.nan for part in parts),
        zero=any(part.zero for part in parts),
        product=any(part.product for part in parts),
        accumulated=any(part.accumulated for part in parts),
        constant=all(part.constant for part in parts),
    )


def split(operation: Operation) -> list[Interval]:
    """``Split`` into given sizes, or into equal ones."""
    value = _first(operation)
    axis = int(operation.attribute("axis", 0))
    length = value.low.shape[axis]
    if operation.value(1) is not None:
        sizes = _numbers(operation, 1, "sizes")
    else:
        share = -(-length // operation.outputs)
        sizes = tuple(min(share, length - i * share) for i in range(operation.outputs))
    ends = np.cumsum(sizes)
    if len(sizes) != operation.outputs or ends[-1] != length:
        raise Broken("its sizes do not add up")
    return [
        moved(value, lambda array, a=a, b=b: np.take(array, range(a, b), axis=axis))  # type: ignore[misc]  # bound here
        for a, b in zip(ends - sizes, ends, strict=True)
    ]


def cut(operation: Operation) -> Interval:
    """``Slice`` between known places."""
    value = _first(operation)
    starts, ends = _numbers(operation, 1, "starts"), _numbers(operation, 2, "ends")
    axes = (
        _numbers(operation, 3, "axes")
        if operation.value(3) is not None
        else tuple(range(len(starts)))
    )
    steps = (
        _numbers(operation, 4, "steps") if operation.value(4) is not None else (1,) * len(starts)
    )
    if any(axis % value.low.ndim == 0 for axis in axes):
        raise Broken("it cuts through the rows of the batch")
    pieces = [slice(None)] * value.low.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise Broken("it steps backwards")
        pieces[axis] = slice(start, end, step)
    return moved(value, lambda array: array[tuple(pieces)])


def shape(operation: Operation) -> Interval:
    """``Shape`` for a batch of one row. Row independence ensures that no number depends on it."""
    value = operation.values[0]
    if value is None or operation.attributes:
        raise Broken("only a whole shape is known")
    return Interval.of(np.array(value.low.shape, np.int64))
