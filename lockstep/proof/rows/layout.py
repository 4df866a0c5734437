"""The position of rows after broadcasting and transposing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from lockstep.proof.rows.fact import (
    FITTING,
    FOLDED,
    MixingError,
    Placement,
    Tensor,
    UndecidedError,
)
from lockstep.proof.rows.number import Number, UnknownNumber

_BY_POSITION: Final = "a constant along the batch axis gives each position its own value"


def broadcast(tensors: Sequence[Tensor]) -> Tensor:
    """The result of numpy's broadcasting, without its elements.

    Raises:
        MixingError: where the rows of one operand meet another axis of another operand, or a
            constant that differs from position to position.
        UndecidedError: where a shape that this depends on is not known.
    """
    rank = max(tensor.rank for tensor in tensors)
    if any(tensor.rows and tensor.rows.axis == FOLDED for tensor in tensors):
        return _broadcast_folded(tensors)
    rows: Placement | None = None
    for tensor in tensors:
        if tensor.rows:
            placed = tensor.rows.at(tensor.rows.axis + rank - tensor.rank)
            rows = same_rows(rows, placed) if rows else placed
    dims = tuple(
        _common_length([t.shape[axis - rank] for t in tensors if axis - rank >= -t.rank])
        for axis in range(rank)
        if rows is None or axis != rows.axis
    )
    if rows is None:
        return Tensor(dims)
    for tensor in tensors:
        axis = rows.axis - rank + tensor.rank
        if tensor.rows is None and axis >= 0:
            check_beside(tensor, axis, rows)
    return Tensor((*dims[: rows.axis], rows.length, *dims[rows.axis :]), rows)


def _broadcast_folded(tensors: Sequence[Tensor]) -> Tensor:
    whole = [tensor for tensor in tensors if not tensor.is_single]
    first = whole[0]
    same = all(t.rows == first.rows and t.dims == first.dims for t in whole)
    if not same or any(tensor.rank > first.rank for tensor in tensors):
        raise MixingError("a reshape has cut across the rows that it combines with other values")
    return Tensor(first.dims, first.rows)


def same_rows(left: Placement, right: Placement) -> Placement:
    """The rows of two operands that meet element by element.

    Raises:
        MixingError: where they lie on different axes.
        UndecidedError: where they lie on the same axis in different order.
    """
    if left.axis != right.axis:
        if left.count is not None:
            # An axis of a fixed length may or may not be the batch: an equal length proves nothing.
            raise UndecidedError("the rows of its inputs seem to lie on different axes")
        raise MixingError("the rows of its inputs lie on different axes")
    if left != right:
        raise UndecidedError("the rows of its inputs lie in different order")
    return right if left.count is None else left


def check_beside(tensor: Tensor, axis: int, rows: Placement) -> None:
    """Require that a tensor without rows has the same values for every row along an axis.

    Raises:
        MixingError: where it differs from position to position.
        UndecidedError: where that is not known.
    """
    length = tensor.shape[axis]
    if length == 1:
        return
    if isinstance(length, UnknownNumber) or length == 0:
        raise UndecidedError("a constant lies along the batch axis, and its length is not known")
    if rows.count is None:
        raise MixingError(_BY_POSITION)
    if length != rows.outer * rows.count * rows.inner:
        raise UndecidedError(FITTING)
    check_equal_rows(tensor, axis, rows)


def check_equal_rows(tensor: Tensor, axis: int, rows: Placement) -> None:
    """Require that a constant as long as a batch of fixed size repeats itself from row to row."""
    if tensor.elements is None:
        raise UndecidedError("a constant lies along the batch axis, and its values are not known")
    grid = (rows.outer, rows.count or 1, rows.inner, -1)
    blocks = np.moveaxis(tensor.elements, axis, 0).reshape(grid)
    if (blocks == blocks[:, :1]).all():
        return
    if any(isinstance(number, UnknownNumber) for number in blocks.flat):
        raise UndecidedError("a constant along the batch axis may differ from row to row")
    raise MixingError(_BY_POSITION, position=True)


def _common_length(lengths: Sequence[Number]) -> Number:
    """The length of an axis to which axes of these lengths are broadcast."""
    long = [length for length in lengths if length != 1]
    known = {length for length in long if isinstance(length, int)}
    if len(known) > 1:
        raise UndecidedError(FITTING)
    if known:
        return known.pop()
    if not long:
        return 1
    return long[0] if all(length is long[0] for length in long) else UnknownNumber(follows=False)


def transposed(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """The tensor with its axes in another order."""
    if sorted(order) != list(range(tensor.rank)):
        raise UndecidedError("its order of axes does not fit its input")
    elements = None if tensor.elements is None else tensor.elements.transpose(order)
    rows = tensor.rows.at(order.index(tensor.rows.axis)) if tensor.rows else None
    return Tensor(tuple(tensor.shape[axis] for axis in order), rows, elements)
