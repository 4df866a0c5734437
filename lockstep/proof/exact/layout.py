"""Operators that move numbers without looking at them, for a batch of one row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lockstep.proof.exact.arithmetic import same_type
from lockstep.proof.exact.site import Site
from lockstep.proof.exact.value import Array, Broken, Value, common_grid

Move = Callable[[Array], Array]


def moved(value: Value, move: Move) -> Value:
    """What is known of a value, as its numbers are moved."""
    return Value(
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


def _first(site: Site) -> Value:
    value = site.value(0)
    if value is None:
        raise Broken("nothing enters it")
    return value


def _numbers(site: Site, place: int, what: str) -> tuple[int, ...]:
    given = site.constant(place)
    if given is None:
        raise Broken(f"its {what} must be known")
    return tuple(int(number) for number in given.reshape(-1))


def identity(site: Site) -> Value:
    """``Identity``."""
    return _first(site)


def reshape(site: Site) -> Value:
    """``Reshape``."""
    value, shape = _first(site), list(_numbers(site, 1, "shape"))
    if not site.attribute("allowzero", 0):
        shape = [value.low.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return moved(value, lambda array: array.reshape(shape))


def transpose(site: Site) -> Value:
    """``Transpose``."""
    order = site.attribute("perm", None)
    return moved(_first(site), lambda array: array.transpose(order))


def unsqueeze(site: Site) -> Value:
    """``Unsqueeze``."""
    axes = _numbers(site, 1, "axes")
    return moved(_first(site), lambda array: np.expand_dims(array, axes))


def squeeze(site: Site) -> Value:
    """``Squeeze`` of named axes: the batch itself may have one row."""
    axes = _numbers(site, 1, "axes")
    return moved(_first(site), lambda array: np.squeeze(array, axes))


def flatten(site: Site) -> Value:
    """``Flatten`` behind the batch."""
    if site.attribute("axis", 1) != 1:
        raise Broken("only what lies behind the batch may be flattened")
    return moved(_first(site), lambda array: array.reshape(len(array), -1))


def expand(site: Site) -> Value:
    """``Expand``."""
    shape = _numbers(site, 1, "shape")
    return moved(
        _first(site),
        lambda array: np.broadcast_to(array, np.broadcast_shapes(array.shape, shape)),
    )


def concatenate(site: Site) -> Value:
    """``Concat``."""
    parts = [value for value in site.values if value is not None]
    same_type(*parts)
    axis = int(site.attributes["axis"])

    def joined(arrays: list[Array]) -> Array:
        return np.concatenate(arrays, axis=axis)

    return Value(
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


def split(site: Site) -> list[Value]:
    """``Split`` into named sizes, or into equal ones."""
    value = _first(site)
    axis = int(site.attribute("axis", 0))
    length = value.low.shape[axis]
    if site.value(1) is not None:
        sizes = _numbers(site, 1, "sizes")
    else:
        share = -(-length // site.outputs)
        sizes = tuple(min(share, length - i * share) for i in range(site.outputs))
    ends = np.cumsum(sizes)
    if len(sizes) != site.outputs or ends[-1] != length:
        raise Broken("its sizes do not add up")
    return [
        moved(value, lambda array, a=a, b=b: np.take(array, range(a, b), axis=axis))  # type: ignore[misc]  # bound here
        for a, b in zip(ends - sizes, ends, strict=True)
    ]


def cut(site: Site) -> Value:
    """``Slice`` between known places."""
    value = _first(site)
    starts, ends = _numbers(site, 1, "starts"), _numbers(site, 2, "ends")
    axes = _numbers(site, 3, "axes") if site.value(3) is not None else tuple(range(len(starts)))
    steps = _numbers(site, 4, "steps") if site.value(4) is not None else (1,) * len(starts)
    if any(axis % value.low.ndim == 0 for axis in axes):
        raise Broken("it cuts through the rows of the batch")
    pieces = [slice(None)] * value.low.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise Broken("it steps backwards")
        pieces[axis] = slice(start, end, step)
    return moved(value, lambda array: array[tuple(pieces)])
