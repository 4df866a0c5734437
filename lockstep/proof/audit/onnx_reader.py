"""The audit's reader of an ONNX model: it judges the mode of every node that it meets.

Beside every tensor stands where it comes from and, for one that holds a single number, the number,
so that a flag is found behind Identity, Constant, Cast, initializers, the branches of an If and the
formal inputs of a function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Never

from onnx import SparseTensorProto, TensorProto, ValueInfoProto

from lockstep.errors import Unreadable
from lockstep.proof.audit.finding import Finding
from lockstep.proof.audit.onnx_mode import judge
from lockstep.proof.audit.onnx_provenance import (
    ABSENT,
    CARRIED,
    COMPUTED,
    Provenance,
    fold,
    provenance_of,
)
from lockstep.proof.graph.reader import Endless, Reader
from lockstep.proof.graph.site import Site
from lockstep.proof.graph.traversal import BODIES_LIMIT, NESTING_LIMIT, NODES_LIMIT

_TOO_DEEP: Final = (
    f"An ONNX model must not nest subgraphs and functions more than {NESTING_LIMIT} deep, nor may "
    "a function call itself, but this one does; export it without functions."
)
_TOO_LONG: Final = (
    f"An ONNX model must spell out to at most {NODES_LIMIT:,} nodes and {BODIES_LIMIT:,} function "
    "bodies, but there are more; export it without functions."
)


class ModeReader(Reader[Provenance]):
    """Finds what is in training mode.

    Attributes:
        findings: what was found so far.
    """

    absent = ABSENT

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def unnamed(self, name: str) -> Provenance:  # noqa: ARG002 - none is better known than another
        """Of a name that nothing computes."""
        return COMPUTED

    def weight(
        self, tensor: TensorProto | SparseTensorProto, replaceable: ValueInfoProto | None
    ) -> Provenance:
        """Of a tensor that lies in the file."""
        return provenance_of(tensor, overridable=replaceable is not None)

    def given(self, inputs: Sequence[ValueInfoProto]) -> Mapping[str, Provenance]:
        """Of the inputs of the model."""
        return {each.name: Provenance("input", origin=each.name) for each in inputs}

    def carried(self, site: Site[Provenance]) -> Provenance:  # noqa: ARG002 - whichever carries it
        """Of an input of a subgraph."""
        return CARRIED

    def meet(self, site: Site[Provenance]) -> None:
        """Judge a node; a body of its own for Dropout does not make it another."""
        defect = None if site.is_call and site.domain else judge(site)
        if defect is not None:
            self.findings.append(defect.at(site.path, site.operator))

    def compute(self, site: Site[Provenance]) -> Sequence[Provenance]:
        """Of the outputs of an operator."""
        folded = site.domain == ""
        first = fold(site.node, site.attributes, site.inputs) if folded else COMPUTED
        return [first] + [COMPUTED] * (len(site.node.output) - 1)

    def choose(
        self,
        site: Site[Provenance],
        then: Sequence[Provenance],
        otherwise: Sequence[Provenance],
    ) -> Sequence[Provenance]:
        """Those of the branch that a constant chooses, or what both agree on."""
        condition = site.input(0)
        if condition.source == "constant" and condition.scalar is not None:
            return then if condition.scalar else otherwise
        pairs = zip(then, otherwise, strict=False)
        return [left if left == right else COMPUTED for left, right in pairs]

    def repeat(self, site: Site[Provenance]) -> Sequence[Provenance]:
        """Of the outputs of a Loop or Scan."""
        return [COMPUTED] * len(site.node.output)

    def endless(self, site: Site[Provenance], reason: Endless) -> Never:  # noqa: ARG002 - anywhere
        """Refuse the model.

        Raises:
            Unreadable: always.
        """
        raise Unreadable(_TOO_LONG if reason is Endless.LONG else _TOO_DEEP)
