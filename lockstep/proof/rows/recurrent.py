"""RNN, LSTM and GRU: the state moves along the sequence, never along the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.fact import MixingError, Placement, Tensor, UndecidedError
from lockstep.proof.rows.layout import check_beside, same_rows
from lockstep.proof.rows.number import Number, UnknownNumber


def recurrent(call: Call) -> tuple[Tensor, ...]:
    """The states of all steps, and the last ones.

    The input is ``[steps, batch, n]``, or with ``layout=1`` ``[batch, steps, n]``; a state is
    ``[directions, batch, hidden]`` or ``[batch, directions, hidden]``.
    """
    tensor = call.tensor(0)
    layout = call.attribute("layout", 0)
    batch_axis = 0 if layout else 1
    _check_constants(call)
    if tensor.rows is None or tensor.rows.axis == 2:
        raise UndecidedError("the rows do not lie on its batch axis")
    if tensor.rows.axis != batch_axis:
        raise MixingError("it runs along the batch as if it were a sequence")
    _check_states(call, tensor.rows, batch_axis)
    steps = tensor.shape[1 if layout else 0]
    hidden: Number = call.attribute("hidden_size") or UnknownNumber(follows=False)
    directions = 2 if call.attribute("direction", "forward") == "bidirectional" else 1
    rows, length = tensor.rows, tensor.rows.length
    if layout:
        whole = Tensor((length, steps, directions, hidden), rows)
        last = Tensor((length, directions, hidden), rows)
    else:
        whole = Tensor((steps, directions, length, hidden), rows.at(2))
        last = Tensor((directions, length, hidden), rows)
    return (whole, last, last)[: 3 if call.operator == "LSTM" else 2]


def _check_constants(call: Call) -> None:
    for index in (1, 2, 3, 7):
        if call.has(index):
            call.constant(index)


def _check_states(call: Call, rows: Placement, batch_axis: int) -> None:
    """Require that sequence lengths and initial states have their rows on the batch axis."""
    for index, axis in ((4, 0), (5, batch_axis), (6, batch_axis)):
        if not call.has(index):
            continue
        given = call.tensor(index)
        if given.rows:
            same_rows(given.rows.at(given.rows.axis - axis + rows.axis), rows)
        else:
            check_beside(given, axis, rows)


RULES: Final[Mapping[str, RowRule]] = {"GRU": recurrent, "LSTM": recurrent, "RNN": recurrent}
