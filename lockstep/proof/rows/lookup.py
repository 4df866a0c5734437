"""Operators that read or overwrite places named by an index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.elementwise import ELEMENTS_LIMIT
from lockstep.proof.rows.fact import FITTING, MixingError, Placement, Tensor, UndecidedError
from lockstep.proof.rows.layout import check_equal_rows, same_rows
from lockstep.proof.rows.number import follows_batch, known_product

_BY_POSITION: Final = "it picks rows by their position in the batch"
_AMONG_ROWS: Final = "the rows of the batch choose among the rows of the batch"


def gather(call: Call) -> Tensor:
    """Look up places of one axis by an index."""
    data, index = call.tensor(0), call.tensor(1)
    axis = call.axis(data.rank, 0)
    dims = data.shape[:axis] + index.shape + data.shape[axis + 1 :]
    if data.rows and data.rows.axis == axis:
        if index.rows:
            raise UndecidedError(_AMONG_ROWS)
        raise MixingError(_BY_POSITION)
    if index.rows:
        if data.rows:
            raise MixingError("every row looks up something in every other row")
        return Tensor(dims, index.rows.at(axis + index.rows.axis))
    if data.rows:
        moved = data.rows.axis + (index.rank - 1 if data.rows.axis > axis else 0)
        return Tensor(dims, data.rows.at(moved))
    if data.elements is None or index.elements is None:
        return Tensor(dims)
    places = [place for place in index.elements.flat if isinstance(place, int)]
    amount = known_product(dims)
    if len(places) < index.elements.size or amount is None or amount > ELEMENTS_LIMIT:
        return Tensor(dims)
    chosen = data.elements.take(np.reshape(places, index.elements.shape).astype(int), axis)
    return Tensor(dims, None, np.asarray(chosen, dtype=object))


def gather_elements(call: Call) -> Tensor:
    """Look up one place of an axis for each place of the index."""
    data, index = call.tensor(0), call.tensor(1)
    axis = call.axis(data.rank, 0)
    if data.rank != index.rank:
        raise UndecidedError(FITTING)
    if data.rows is None:
        if index.rows and index.rows.axis != axis:
            _check_same_for_all(data, index.rows)
        return Tensor(index.dims, index.rows)
    if data.rows.axis == axis:
        if index.rows:
            raise UndecidedError(_AMONG_ROWS)
        raise MixingError(_BY_POSITION)
    if index.rows is None:
        raise MixingError("it reads the first rows of the batch only")
    return Tensor(index.dims, same_rows(data.rows, index.rows))


def _check_same_for_all(data: Tensor, rows: Placement) -> None:
    """Require that a constant read at the row's position has the same value for every row."""
    if rows.count is None or data.shape[rows.axis] != rows.outer * rows.count * rows.inner:
        raise MixingError("it reads a constant at the row's position in the batch")
    check_equal_rows(data, rows.axis, rows)


def gather_nd(call: Call) -> Tensor:
    """Look up slices by index tuples."""
    data, index = call.tensor(0), call.tensor(1)
    shared = call.attribute("batch_dims", 0)
    depth = index.shape[-1] if index.rank else 0
    if not isinstance(depth, int):
        raise UndecidedError("the length of its index tuples is not known")
    dims = index.shape[:-1] + data.shape[shared + depth :]
    if index.rows and index.rows.axis == index.rank - 1:
        raise MixingError("its index tuples are made of different rows")
    if data.rows is None:
        if index.rows and index.rows.axis < shared:
            _check_same_for_all(data, index.rows)
        return Tensor(dims, index.rows)
    if index.rows:
        if max(data.rows.axis, index.rows.axis) < shared:
            return Tensor(dims, same_rows(data.rows, index.rows))
        raise UndecidedError(_AMONG_ROWS)
    if data.rows.axis < shared + depth:
        raise MixingError(_BY_POSITION)
    return Tensor(dims, data.rows.at(index.rank - 1 + data.rows.axis - shared - depth))


def scatter_nd(call: Call) -> Tensor:
    """Overwrite slices at constant index tuples."""
    data, index, updates = call.tensor(0), call.constant(1), call.tensor(2)
    depth = index.shape[-1]
    if not isinstance(depth, int) or not (data.rows and updates.rows):
        raise UndecidedError("which rows it overwrites, and with what, is not followed")
    if data.rows.axis < depth:
        if data.rows.count is not None:
            raise UndecidedError("it overwrites rows by position, which may be all of them")
        raise MixingError("it overwrites rows by their position in the batch")
    same_rows(data.rows.at(index.rank - 1 + data.rows.axis - depth), updates.rows)
    return Tensor(data.dims, data.rows)


def scatter_elements(call: Call) -> Tensor:
    """Overwrite one place of an axis for each place of the index."""
    data, index, updates = call.tensor(0), call.tensor(1), call.tensor(2)
    if not (data.rows and index.rows and updates.rows):
        raise UndecidedError("which rows it overwrites, and with what, is not followed")
    rows = same_rows(same_rows(data.rows, index.rows), updates.rows)
    if rows.axis == call.axis(data.rank, 0):
        raise UndecidedError(_AMONG_ROWS)
    return Tensor(data.dims, rows)


def one_hot(call: Call) -> Tensor:
    """A new axis with one place set."""
    index, depth = call.tensor(0), call.numbers(1)[0]
    call.constant(2)
    if follows_batch(depth):
        raise MixingError("the batch size sets the length of its new axis")
    axis = call.axis(index.rank + 1, -1)
    rows = index.rows
    if rows:
        rows = rows.at(rows.axis + (rows.axis >= axis))
    return Tensor((*index.shape[:axis], depth, *index.shape[axis:]), rows)


RULES: Final[Mapping[str, RowRule]] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
}
