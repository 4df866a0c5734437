"""The audit's reader of an ONNX model: it judges the mode of every node.

For every tensor it notes the provenance and, for a tensor with one element, the number. So a flag
is found through Identity, Constant, Cast, initializers, the branches of an If and the formal inputs
of a function.
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
    """Finds operators in training mode.

    Attributes:
        findings: those found so far.
    """

    absent = ABSENT

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def unnamed(self, name: str) -> Provenance:  # noqa: ARG002 - any name
        """A name that no node computes is computed at run time."""
        return COMPUTED

    def weight(
        self, tensor: TensorProto | SparseTensorProto, replaceable: ValueInfoProto | None
    ) -> Provenance:
        """The provenance of a tensor in the file."""
        return provenance_of(tensor, overridable=replaceable is not None)

    def given(self, inputs: Sequence[ValueInfoProto]) -> Mapping[str, Provenance]:
        """The provenance of the model's inputs."""
        return {each.name: Provenance("input", origin=each.name) for each in inputs}

    def carried(self, site: Site[Provenance]) -> Provenance:  # noqa: ARG002 - the same for every node
        """The provenance of a subgraph's input."""
        return CARRIED

    def meet(self, site: Site[Provenance]) -> None:
        """Judge a node. A standard operator is judged even if the file gives it a body."""
        defect = None if site.is_call and site.domain else judge(site)
        if defect is not None:
            self.findings.append(defect.at(site.path, site.operator))

    def compute(self, site: Site[Provenance]) -> Sequence[Provenance]:
        """The provenance of an operator's outputs."""
        folded = site.domain == ""
        first = fold(site.node, site.attributes, site.inputs) if folded else COMPUTED
        return [first] + [COMPUTED] * (len(site.node.output) - 1)

    def choose(
        self,
        site: Site[Provenance],
        then: Sequence[Provenance],
        otherwise: Sequence[Provenance],
    ) -> Sequence[Provenance]:
        """The outputs of the branch that a constant chooses, or those on which both agree."""
        condition = site.input(0)
        if condition.source == "constant" and condition.scalar is not None:
            return then if condition.scalar else otherwise
        pairs = zip(then, otherwise, strict=False)
        return [left if left == right else COMPUTED for left, right in pairs]

    def repeat(self, site: Site[Provenance]) -> Sequence[Provenance]:
        """The outputs of a Loop or Scan are computed at run time."""
        return [COMPUTED] * len(site.node.output)

    def endless(self, site: Site[Provenance], reason: Endless) -> Never:  # noqa: ARG002 - any node
        """Refuse the model.

        Raises:
            Unreadable: always.
        """
        raise Unreadable(_TOO_LONG if reason is Endless.LONG else _TOO_DEEP)
