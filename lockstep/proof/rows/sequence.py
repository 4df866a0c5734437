"""Operators on lists of tensors, which the exporters write for split, chunk and stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.fact import MixingError, Tensor, TensorList, UndecidedError
from lockstep.proof.rows.number import Number, follows_batch
from lockstep.proof.rows.reshape import squeezed, unsqueezed
from lockstep.proof.rows.selection import cut, joined

# A longer list is unlikely to be a list of parts; following it would only take time.
PIECES_LIMIT: Final = 4096


def construct(call: Call) -> TensorList:
    """A list of the inputs."""
    return TensorList(tuple(call.tensors()))


def empty(call: Call) -> TensorList:  # noqa: ARG001  a rule takes its call
    """An empty list."""
    return TensorList(())


def insert(call: Call) -> TensorList:
    """The list with a tensor inserted, at its end if no place is given."""
    items = list(call.listed().items)
    place = call.integers(2)[0] if call.has(2) else len(items)
    items.insert(place, call.tensor(1))
    return TensorList(tuple(items))


def at(call: Call) -> Tensor:
    """One tensor of the list."""
    (place,) = call.integers(1)
    return call.listed().items[place]


def split_to_list(call: Call) -> TensorList:
    """Cut an axis into pieces of given lengths, of one length, or of length 1."""
    tensor = call.tensor(0)
    axis = call.axis(tensor.rank, 0)
    lengths = _piece_lengths(call, tensor.shape[axis])
    pieces, start = [], 0
    for length in lengths:
        pieces.append(cut(tensor, axis, start, start + length))
        start += length
    if not call.has(1) and not call.attribute("keepdims", 1):
        pieces = [squeezed(piece, [axis]) for piece in pieces]
    return TensorList(tuple(pieces))


def _piece_lengths(call: Call, whole: Number) -> list[int]:
    if follows_batch(whole):
        raise MixingError("it cuts the batch into parts")
    given = call.integers(1) if call.has(1) else [1]
    if call.has(1) and call.tensor(1).rank:
        return given
    (each,) = given
    if not isinstance(whole, int) or each < 1 or whole // each > PIECES_LIMIT:
        raise UndecidedError("into how many pieces it cuts is not known")
    return [min(each, whole - start) for start in range(0, whole, each)]


def concat_list(call: Call) -> Tensor:
    """Join the tensors of a list along an axis, or stack them on a new one."""
    items = call.listed().items
    if not items:
        raise UndecidedError("its list is empty")
    if not call.attribute("new_axis", 0):
        return joined(items, call.axis(items[0].rank))
    axis = call.axis(items[0].rank + 1)
    return joined([unsqueezed(item, [axis]) for item in items], axis)


RULES: Final[Mapping[str, RowRule]] = {
    "ConcatFromSequence": concat_list,
    "SequenceAt": at,
    "SequenceConstruct": construct,
    "SequenceEmpty": empty,
    "SequenceInsert": insert,
    "SplitToSequence": split_to_list,
}
