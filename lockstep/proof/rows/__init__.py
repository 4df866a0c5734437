"""Row independence, decided by reading an ONNX graph.

The batch axis is followed from the inputs through every operator. For each tensor the reader notes
on which axis the rows lie, and in what order. For each shape it notes the numbers as functions of
the batch size. If an operator lets a row depend on its neighbours, its position or the batch size,
rows are mixed. If there is no sure rule, nothing is claimed, and the measured test decides.

The method is abstract interpretation (Cousot and Cousot, 1977). Each rule keeps one invariant: row
``b`` of a tensor is a function of row ``b`` of the inputs, the same in every batch and position.
"""

from __future__ import annotations

from typing import Literal

import onnx
from pydantic import BaseModel, ConfigDict

from lockstep.proof.graph.traversal import Output, Traversal
from lockstep.proof.rows.fact import Mixing, Placement, RowFact, Tensor, TensorList, Undecided
from lockstep.proof.rows.reader import NOTHING, RowReader

__all__ = ["RowVerdict", "row_independence"]


class RowVerdict(BaseModel):
    """Whether the rows of one output depend on their own rows of the input only.

    Attributes:
        output: name of the output.
        verdict: ``independent``; ``mixing``: a row depends on its neighbours, its position or the
            batch size; ``undecided``: reading the graph cannot decide.
        node: path of the node that is the reason, if the verdict is not ``independent``.
        operator: operator of that node.
        reason: one sentence.
        rests_on: for ``independent``, the operators whose rules were used, sorted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    verdict: Literal["independent", "mixing", "undecided"]
    node: str | None = None
    operator: str | None = None
    reason: str
    rests_on: tuple[str, ...] = ()


def row_independence(model: onnx.ModelProto) -> tuple[RowVerdict, ...]:
    """Decide for each output whether its rows depend on their own rows of the input only.

    Axis 0 of every graph input without an initializer is the batch. Its length may be named,
    unnamed or fixed.

    Args:
        model: a valid model, functions and subgraphs included.

    Returns:
        One verdict for each graph output, in order.
    """
    return tuple(map(_verdict, Traversal(model, RowReader()).outputs()))


def _verdict(output: Output[RowFact | None]) -> RowVerdict:
    value = output.value or NOTHING
    if isinstance(value, Mixing):
        return _against(output, "mixing", value.reason, value.node, value.operator)
    if isinstance(value, Undecided):
        return _against(output, "undecided", value.reason, value.node, value.operator)
    defect = _defect(value)
    if defect:
        made_by = output.made_by
        node, operator = (made_by.path, made_by.operator) if made_by else (None, None)
        return _against(output, *defect, node, operator)
    return RowVerdict(
        output=output.name,
        verdict="independent",
        reason="Every row depends on its own row of the input only.",
        rests_on=tuple(sorted(value.rests_on)) if isinstance(value, Tensor) else (),
    )


def _defect(value: Tensor | TensorList) -> tuple[Literal["mixing", "undecided"], str] | None:
    """The reason why an output is not one row for each row of the batch, or None."""
    if isinstance(value, TensorList):
        return "undecided", "the output is a list of tensors"
    if value.follows:
        return "mixing", "the output is derived from the batch size"
    if value.rows is None:
        return "undecided", "the output does not depend on the batch, so it has no row for each row"
    return None if value.rows == Placement(0) else ("mixing", _misplaced(value.rows))


def _misplaced(rows: Placement) -> str:
    if rows.axis < 0:
        return "the axes of the output cut across the rows of the batch"
    if rows.axis > 0:
        return f"the batch lies on axis {rows.axis} of the output instead of axis 0"
    return "the output has several rows for each row of the batch"


def _against(
    output: Output[RowFact | None],
    verdict: Literal["mixing", "undecided"],
    reason: str,
    node: str | None,
    operator: str | None,
) -> RowVerdict:
    return RowVerdict(
        output=output.name,
        verdict=verdict,
        node=node,
        operator=operator,
        reason=f"{reason[0].upper()}{reason[1:]}.",
    )
