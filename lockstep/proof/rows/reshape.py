"""The position of rows after a reshape.

Memory holds ``before · batch · after`` elements, and a reshape keeps their order. If a new axis
begins and ends at whole rows, the rows lie along it. Otherwise they are folded, and only another
reshape can unfold them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lockstep.proof.rows.fact import FITTING, FOLDED, Placement, Tensor, UndecidedError
from lockstep.proof.rows.number import (
    Affine,
    Number,
    UnknownNumber,
    divide,
    follows_batch,
    known_product,
    product,
)


def reshaped(tensor: Tensor, target: Sequence[Number]) -> Tensor:
    """The tensor with other axes over the same elements in memory.

    Args:
        tensor: to be reshaped.
        target: lengths of the new axes; one may be -1, the length that is left.

    Raises:
        UndecidedError: where the lengths are not known well enough to find the rows again.
    """
    if tensor.rows is None:
        return _reshaped_constant(tensor, target)
    shared = _shared_tail(tensor, target)
    if shared:
        tail = target[-shared:]
        start = reshaped(replace(tensor, dims=tensor.shape[:-shared]), target[:-shared])
        return replace(start, dims=(*start.shape, *tail))
    return _reshaped_rows(tensor, tensor.rows, target)


def _reshaped_constant(tensor: Tensor, target: Sequence[Number]) -> Tensor:
    if any(map(follows_batch, target)):
        raise UndecidedError("it gives a constant a shape that follows the batch")
    left_over = divide(product(tensor.shape), _product_of_others(target)) if -1 in target else 1
    dims = tuple(left_over if length == -1 else length for length in target)
    sizes = tuple(length for length in dims if isinstance(length, int))
    if tensor.elements is None or len(sizes) < len(dims):
        return Tensor(dims)
    return Tensor(dims, None, tensor.elements.reshape(sizes))


def _shared_tail(tensor: Tensor, target: Sequence[Number]) -> int:
    """The number of last axes that the reshape keeps, if lengths behind the rows are unknown."""
    behind = tensor.shape[tensor.rows.axis + 1 :] if tensor.rows else ()
    if (tensor.rows and tensor.rows.axis == FOLDED) or known_product(behind) is not None:
        return 0
    shared = 0
    for old, new in zip(reversed(behind), reversed(target), strict=False):
        if old != new:
            break
        shared += 1
    return shared


def _reshaped_rows(tensor: Tensor, rows: Placement, target: Sequence[Number]) -> Tensor:
    before, after = _elements_around(tensor, rows)
    dims = _resolved(target, before, after, rows.count)
    for axis, times in _places(dims, rows):
        found = _rows_on(axis, times, dims, before, after)
        if found:
            found = replace(found, count=rows.count)
            return Tensor((*dims[:axis], found.length, *dims[axis + 1 :]), found)
    asked = [length for length in target if length != -1]
    if (
        before is None
        or after is None
        or any(isinstance(length, UnknownNumber) for length in asked)
    ):
        raise UndecidedError("the shapes are not known well enough to find the rows again")
    return Tensor(dims, Placement(FOLDED, before, after, rows.count))


def _elements_around(tensor: Tensor, rows: Placement) -> tuple[int | None, int | None]:
    """The number of elements in memory before and after the batch, or None if unknown."""
    if rows.axis == FOLDED:
        return rows.outer, rows.inner
    before = known_product(tensor.shape[: rows.axis])
    after = known_product(tensor.shape[rows.axis + 1 :])
    if before == 0 or after == 0:
        raise UndecidedError("its input is empty")
    return before and before * rows.outer, after and after * rows.inner


def _resolved(
    target: Sequence[Number], before: int | None, after: int | None, count: int | None
) -> tuple[Number, ...]:
    """The target with a length for -1, checked for every batch size."""
    following = [length for length in target if follows_batch(length)]
    if len(following) > 1 or not all(isinstance(n, Affine) and not n.offset for n in following):
        raise UndecidedError("its target shape follows the batch in a way not followed")
    if not following and count is None and -1 not in target:
        raise UndecidedError("its target shape holds for one batch size only")
    whole: Number = UnknownNumber(follows=not following and count is None)
    if before is not None and after is not None:
        whole = Affine(before * after) if following or count is None else before * after * count
    left_over = divide(whole, _product_of_others(target))
    if -1 not in target and left_over != 1 and not isinstance(left_over, UnknownNumber):
        raise UndecidedError(FITTING)
    return tuple(left_over if length == -1 else length for length in target)


def _places(dims: Sequence[Number], rows: Placement) -> Iterator[tuple[int, int]]:
    """The axes on which the batch may lie, each with its length as a multiple of the batch."""
    following = [(axis, n.slope) for axis, n in enumerate(dims) if isinstance(n, Affine)]
    if following or rows.count is None:
        yield from following
        return
    # The batch size is fixed: try every axis that holds whole batches, the old one first.
    for axis in sorted(range(len(dims)), key=lambda axis: axis != rows.axis):
        length = dims[axis]
        if isinstance(length, int) and length > 0 and length % rows.count == 0:
            yield axis, length // rows.count


def _rows_on(
    axis: int, times: int, dims: Sequence[Number], before: int | None, after: int | None
) -> Placement | None:
    """The rows on an axis of ``times · batch`` elements, or None if they do not lie along it.

    The elements of one side are enough: both shapes hold equally many, which gives the other.
    """
    front, back = known_product(dims[:axis]), known_product(dims[axis + 1 :])
    if before and front and before % front == 0 and times % (before // front) == 0:
        outer = before // front
    elif after and back and after % back == 0 and times % (after // back) == 0:
        outer = times // (after // back)
    else:
        return None
    inner = times // outer
    if (before and front and outer * front != before) or (after and back and inner * back != after):
        return None
    return Placement(axis, outer, inner)


def _product_of_others(target: Sequence[Number]) -> Number:
    return product(length for length in target if length != -1)


def squeezed(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """The tensor without these axes, each of length 1.

    Raises:
        UndecidedError: where the batch axis is among them, so that the file takes one row only.
    """
    if tensor.rows and tensor.rows.axis in axes:
        raise UndecidedError("it takes away the batch axis, which holds for one row only")
    kept = [axis for axis in range(tensor.rank) if axis not in axes]
    rows = tensor.rows.at(kept.index(tensor.rows.axis)) if tensor.rows else None
    elements = None if tensor.elements is None else tensor.elements.squeeze(tuple(axes))
    return Tensor(tuple(tensor.shape[axis] for axis in kept), rows, elements)


def unsqueezed(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """The tensor with new axes of length 1; ``axes`` are places in the result."""
    rank = tensor.rank + len(set(axes))
    places = {axis % rank for axis in axes}
    kept = [axis for axis in range(rank) if axis not in places]
    lengths = dict(zip(kept, tensor.shape, strict=True))
    rows = tensor.rows.at(kept[tensor.rows.axis]) if tensor.rows else None
    elements = None
    if tensor.elements is not None:
        elements = np.expand_dims(tensor.elements, sorted(places))
    return Tensor(tuple(lengths.get(axis, 1) for axis in range(rank)), rows, elements)
