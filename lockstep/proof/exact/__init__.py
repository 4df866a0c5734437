"""Exactness, decided by reading an ONNX graph.

A single operation of IEEE 754 gives the same number on every processor. A sum of many numbers does
not, because the order of the additions is not fixed. It does if no partial sum rounds in any order,
and that can be read off the file: if all terms are multiples of ``2^g`` (lie on one grid) and their
sizes together are below ``2^(53 + g)``, every partial sum is a float64.

For each tensor the reader notes its bounds, its grid, and what may differ between processors: NaN,
the sign of a zero, a product that fused arithmetic would not round. It breaks at the first node
that has no rule.

The method is abstract interpretation by intervals (Cousot and Cousot, 1977). It is sound for rows
of any bits, and uses the file only. The verdict also needs row independence, which
`lockstep.proof.rows` proves.
"""

from __future__ import annotations

from typing import Literal

import onnx
from pydantic import BaseModel, ConfigDict

from lockstep.proof.exact.operation import Accumulation
from lockstep.proof.exact.reader import BrokenAt, ExactReader, follow
from lockstep.proof.exact.table import ROUNDED_ONCE
from lockstep.proof.rows import row_independence

__all__ = ["Exactness", "exactness"]


class Sum(BaseModel):
    """A node whose sums are all exact.

    Attributes:
        node: its path.
        operator: of the node.
        units: the number of sums for one row.
        unit: index of the sum with the least room, from 0.
        spare_bits: the bits of the significand that its largest partial sum leaves empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    operator: str
    units: int
    unit: int
    spare_bits: float


class Exactness(BaseModel):
    """Whether a graph gives the same bits on every processor of IEEE 754, by construction.

    Attributes:
        verdict: ``exact``, or ``broken``: the argument does not hold, though the bits
            may still agree.
        sums: the nodes whose sums are shown to be exact, in the graph's order.
        rounds_once: the operators that round each result once, sorted.
        node: the node at which the argument breaks.
        operator: of that node.
        unit: of that node, if it is a single unit.
        reason: one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Literal["exact", "broken"]
    sums: tuple[Sum, ...] = ()
    rounds_once: tuple[str, ...] = ()
    node: str | None = None
    operator: str | None = None
    unit: int | None = None
    reason: str

    @property
    def tightest(self) -> Sum | None:
        """The node with the least room, or None if there is no sum."""
        return min(self.sums, key=lambda each: each.spare_bits, default=None)

    def __str__(self) -> str:
        """The verdict in one sentence, without a full stop."""
        if self.verdict == "broken":
            return self.reason.rstrip(".")
        tightest = self.tightest
        spare = (
            f", {tightest.spare_bits:.2f} bits to spare at {tightest.node}, unit {tightest.unit}"
            if tightest is not None
            else ""
        )
        return (
            f"exact by construction: {len(self.sums)} sums{spare}; correctly rounded: "
            f"{', '.join(self.rounds_once) or 'nothing'}"
        )


def exactness(model: onnx.ModelProto) -> Exactness:
    """Decide whether a graph is exact by construction.

    Args:
        model: a valid model, as `lockstep.proof.audit.onnx.read_onnx` reads one.
    """
    for verdict in row_independence(model):
        if verdict.verdict != "independent":
            return Exactness(
                verdict="broken",
                node=verdict.node or verdict.output,
                operator=verdict.operator,
                reason=f"Its rows are not known to stay apart: {verdict.reason}",
            )
    reader = ExactReader()
    try:
        follow(model, reader)
    except BrokenAt as broken:
        where = "" if broken.unit is None else f", unit {broken.unit}"
        return Exactness(
            verdict="broken",
            sums=tuple(map(_sum, reader.accumulations)),
            node=broken.node,
            operator=broken.operator,
            unit=broken.unit,
            reason=f"The argument breaks at {broken.node}{where}: {broken.reason}.",
        )
    return Exactness(
        verdict="exact",
        sums=tuple(map(_sum, reader.accumulations)),
        rounds_once=tuple(sorted(reader.operators & ROUNDED_ONCE.keys())),
        reason="No partial sum rounds, and every other operation is exact or correctly rounded.",
    )


def _sum(accumulation: Accumulation) -> Sum:
    return Sum(
        node=accumulation.node,
        operator=accumulation.operator,
        units=accumulation.units,
        unit=accumulation.unit,
        spare_bits=round(accumulation.spare, 3),
    )
