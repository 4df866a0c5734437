"""Operators that join, cut, pad and sort along an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from lockstep.proof.rows.call import Call, RowRule, from_zero
from lockstep.proof.rows.fact import (
    FITTING,
    MixingError,
    Placement,
    Tensor,
    UndecidedError,
    is_endless,
)
from lockstep.proof.rows.layout import check_beside, same_rows
from lockstep.proof.rows.number import (
    Affine,
    Number,
    NumberArray,
    UnknownNumber,
    add,
    array_of,
    divide,
    follows_batch,
    smaller,
)

_BY_POSITION: Final = "it keeps or drops rows by their position in the batch"


def _numbers_of(tensor: Tensor) -> NumberArray | None:
    """The numbers of a short list; those that are not followed are unknown."""
    if tensor.elements is not None or tensor.rows or tensor.rank != 1:
        return tensor.elements
    (length,) = tensor.shape
    if not isinstance(length, int) or length > 64:
        return None
    return array_of(UnknownNumber(tensor.follows) for _ in range(length))


def concat(call: Call) -> Tensor:
    """Join along an axis; whole batches may be concatenated."""
    parts = call.tensors()
    return joined(parts, call.axis(parts[0].rank))


def joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors joined along an axis.

    Raises:
        MixingError: where constants move the rows of the batch to other positions.
        UndecidedError: where the rows of the parts lie in different order.
    """
    if any(part.rank != parts[0].rank for part in parts):
        raise UndecidedError(FITTING)
    length: Number = 0
    for part in parts:
        length = add(length, part.shape[axis])
    dims = (*parts[0].shape[:axis], length, *parts[0].shape[axis + 1 :])
    carrying = [part.rows for part in parts if part.rows]
    if not carrying:
        numbers = [numbers for part in parts if (numbers := _numbers_of(part)) is not None]
        whole = len(numbers) == len(parts)
        return Tensor(dims, None, np.concatenate(numbers, axis) if whole else None)
    rows = carrying[0]
    if rows.axis == axis:
        return Tensor(dims, _stacked(carrying, len(parts)))
    for part in parts:
        if part.rows:
            rows = same_rows(rows, part.rows)
        else:
            check_beside(part, rows.axis, rows)
            if rows.count is None:
                raise UndecidedError("it joins the batch with a constant of one row")
    dims = (*dims[: rows.axis], rows.length, *dims[rows.axis + 1 :])
    return Tensor(dims, rows)


def _stacked(rows: Sequence[Placement], parts: int) -> Placement:
    if len(rows) < parts:
        raise MixingError("it puts constants before or behind the rows of the batch")
    if len({(each.axis, each.inner) for each in rows}) > 1:
        raise UndecidedError("the rows of its inputs lie in different order")
    return replace(rows[0], outer=sum(each.outer for each in rows))


def split(call: Call) -> tuple[Tensor, ...]:
    """Cut an axis into pieces."""
    tensor = call.tensor(0)
    axis = call.axis(tensor.rank, 0)
    lengths = split_lengths(call, tensor.shape[axis])
    ends: list[Number] = [0]
    for length in lengths:
        ends.append(add(ends[-1], length))
    return tuple(cut(tensor, axis, start, end) for start, end in pairwise(ends))


def split_lengths(call: Call, whole: Number) -> list[Number]:
    """The lengths of the pieces of a Split."""
    if call.has(1):
        return call.numbers(1)
    if "split" in call.attributes:
        return list(call.attribute("split"))
    pieces = call.attribute("num_outputs", call.outputs)
    each = divide(whole, pieces)
    if not isinstance(each, UnknownNumber):
        return [each] * pieces
    if isinstance(whole, int):  # the last piece is shorter
        each = -(-whole // pieces)
        return [each] * (pieces - 1) + [whole - each * (pieces - 1)]
    if follows_batch(whole):
        raise MixingError("it cuts the batch into parts")
    return [UnknownNumber(follows=False)] * pieces


def slice_(call: Call) -> Tensor:
    """Cut out a range of each of some axes."""
    tensor = call.tensor(0)
    if call.has(1):
        starts, ends = call.numbers(1), call.numbers(2)
        listed = call.integers(3) if call.has(3) else range(len(starts))
        steps = call.numbers(4) if call.has(4) else [1] * len(starts)
    else:
        starts, ends = list(call.attribute("starts")), list(call.attribute("ends"))
        listed = call.attribute("axes", range(len(starts)))
        steps = [1] * len(starts)
    for axis, start, end, step in zip(listed, starts, ends, steps, strict=True):
        tensor = cut(tensor, from_zero(axis, tensor.rank), start, end, step)
    return tensor


def cut(tensor: Tensor, axis: int, start: Number, end: Number, step: Number = 1) -> Tensor:
    """A range of one axis; on the batch axis it must consist of whole batches.

    Raises:
        MixingError: where it chooses rows, or the batch size sets the range.
        UndecidedError: where the range is not known.
    """
    if isinstance(end, Affine):
        end = smaller(end, tensor.shape[axis])
    if tensor.rows and tensor.rows.axis == axis:
        rows = _cut_rows(tensor.rows, start, end, step)
        return Tensor((*tensor.shape[:axis], rows.length, *tensor.shape[axis + 1 :]), rows)
    if any(map(follows_batch, (start, end, step))):
        raise MixingError("the batch size sets how much it cuts out", position=not tensor.rows)
    length = tensor.shape[axis]
    known = isinstance(start, int) and isinstance(end, int) and isinstance(step, int)
    rest: Number = UnknownNumber(follows=False)
    elements = None
    if known and isinstance(length, int):
        span = slice(start, end, step)
        rest = len(range(*span.indices(length)))
        if tensor.elements is not None:
            elements = tensor.elements[(slice(None),) * axis + (span,)]
    elif start == 0 and step == 1 and is_endless(end):
        rest = length
    return Tensor((*tensor.shape[:axis], rest, *tensor.shape[axis + 1 :]), tensor.rows, elements)


def _cut_rows(rows: Placement, start: Number, end: Number, step: Number) -> Placement:
    bounds = (start, end, step)
    if any(isinstance(number, UnknownNumber) for number in bounds):
        raise UndecidedError("which rows it cuts out is not known")
    first, last = _block(rows, start), rows.outer if is_endless(end) else _block(rows, end)
    if step != 1 or first is None or last is None or not 0 <= first < min(last, rows.outer):
        raise MixingError(_BY_POSITION)
    return replace(rows, outer=min(last, rows.outer) - first)


def _block(rows: Placement, number: Number) -> int | None:
    """The whole batch that begins at an index, counted from 0; None if none does."""
    if number == 0:
        return 0
    if isinstance(number, Affine):
        block = divide(number, Affine(rows.inner))
    elif rows.count is not None:
        block = divide(number, rows.inner * rows.count)
    else:
        return None
    if not isinstance(block, int):
        return None
    return block + rows.outer if block < 0 else block


def pad(call: Call) -> Tensor:
    """Add borders; the batch axis may have none."""
    tensor = call.tensor(0)
    borders = call.numbers(1) if call.has(1) else list(call.attribute("pads", ()))
    axes = call.axes(tensor.rank, 3) or tuple(range(tensor.rank))
    if len(borders) != 2 * len(axes):
        raise UndecidedError(FITTING)
    if call.has(2) and not call.tensor(2).is_single:
        raise UndecidedError("it fills its borders with more than one value")
    dims = list(tensor.shape)
    for axis, front, back in zip(axes, borders, borders[len(axes) :], strict=False):
        if follows_batch(front) or follows_batch(back):
            raise MixingError("the batch size sets the width of its borders")
        if tensor.rows and tensor.rows.axis == axis:
            if isinstance(front, UnknownNumber) or isinstance(back, UnknownNumber):
                raise UndecidedError("the width of its border on the batch axis is not known")
            if front != 0 or back != 0:
                raise MixingError("it adds or drops rows at the ends of the batch")
            continue
        dims[axis] = add(dims[axis], add(front, back))
    return Tensor(tuple(dims), tensor.rows)


def top_k(call: Call) -> tuple[Tensor, Tensor]:
    """The largest numbers along an axis, and their indices."""
    tensor = call.tensor(0)
    axis = call.axis(tensor.rank, -1)
    amount = call.numbers(1)[0] if call.has(1) else call.attribute("k")
    if tensor.rows and tensor.rows.axis == axis:
        raise MixingError("it sorts the rows of the batch")
    if follows_batch(amount):
        raise MixingError("the batch size sets how many it keeps")
    found = Tensor((*tensor.shape[:axis], amount, *tensor.shape[axis + 1 :]), tensor.rows)
    return found, found


def compress(call: Call) -> Tensor:
    """Keep some places of one axis."""
    tensor = call.tensor(0)
    call.constant(1)
    if "axis" not in call.attributes:
        raise UndecidedError("it keeps elements of the whole batch")
    axis = call.axis(tensor.rank)
    if tensor.rows and tensor.rows.axis == axis:
        raise MixingError(_BY_POSITION)
    dims = (*tensor.shape[:axis], UnknownNumber(follows=False), *tensor.shape[axis + 1 :])
    return Tensor(dims, tensor.rows)


def reverse_sequence(call: Call) -> Tensor:
    """Reverse the first places of the time axis, as many as each row's length."""
    tensor, lengths = call.tensor(0), call.tensor(1)
    batch_axis, time_axis = call.attribute("batch_axis", 1), call.attribute("time_axis", 0)
    if tensor.rows and tensor.rows.axis == time_axis:
        raise MixingError("it reverses the order of the rows")
    if tensor.rows is None or tensor.rows.axis != batch_axis:
        raise UndecidedError("the rows do not lie on its batch axis")
    if lengths.rows:
        same_rows(lengths.rows.at(batch_axis), tensor.rows)
    else:
        check_beside(lengths, 0, tensor.rows)
    return Tensor(tensor.dims, tensor.rows)


RULES: Final[Mapping[str, RowRule]] = {
    "Compress": compress,
    "Concat": concat,
    "Pad": pad,
    "ReverseSequence": reverse_sequence,
    "Slice": slice_,
    "Split": split,
    "TopK": top_k,
}
