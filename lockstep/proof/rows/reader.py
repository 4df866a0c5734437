"""The reader of row independence: it follows the batch from the inputs to the outputs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from onnx import SparseTensorProto, TensorProto, ValueInfoProto

from lockstep.proof.graph.reader import Endless, Reader
from lockstep.proof.graph.site import Site
from lockstep.proof.graph.traversal import NODES_LIMIT
from lockstep.proof.rows.binding import key_of, renewed
from lockstep.proof.rows.fact import Mixing, RowFact, Tensor, Undecided
from lockstep.proof.rows.feed import fed
from lockstep.proof.rows.shape import constant_tensor
from lockstep.proof.rows.step import MISFIT, join, mixing, step, undecided
from lockstep.proof.rows.table import LEARNER_DOMAIN

_Fact = RowFact | None
NOTHING: Final = Undecided(None, None, "an output is not named")
_REPEATED: Final = "it repeats or chooses a subgraph in a way not followed"


class RowReader(Reader[_Fact]):
    """Derives for each tensor which of its numbers belong to which row."""

    absent = None

    def unnamed(self, name: str) -> _Fact:
        """A name that no node computes is undecided."""
        return Undecided(None, None, f"nothing computes {name!r}")

    def weight(
        self,
        tensor: TensorProto | SparseTensorProto,
        replaceable: ValueInfoProto | None,  # noqa: ARG002 - replaced or not, it has no rows
    ) -> _Fact:
        """The facts about a tensor in the file: it does not depend on the batch's content."""
        if isinstance(tensor, SparseTensorProto):
            return Tensor(tuple(tensor.dims))
        return constant_tensor(tensor)

    def given(self, inputs: Sequence[ValueInfoProto]) -> Mapping[str, _Fact]:
        """The facts about the model's inputs."""
        return fed(inputs)

    def carried(self, site: Site[_Fact]) -> _Fact:
        """An input of a subgraph is undecided."""
        return Undecided(site.path, site.operator, _REPEATED)

    def meet(self, site: Site[_Fact]) -> None:
        """Do nothing: this reader needs no look at a node before its subgraphs."""

    def compute(self, site: Site[_Fact]) -> Sequence[_Fact]:
        """Apply the rule of an operator."""
        return step(site)

    def call(self, site: Site[_Fact], outputs: Sequence[_Fact]) -> Sequence[_Fact]:
        """The outputs of a function are those of its body."""
        if site.domain in {"", LEARNER_DOMAIN}:
            return undecided(site, "the file gives a standard operator a body of its own")
        return [output or NOTHING for output in outputs]

    def choose(
        self, site: Site[_Fact], then: Sequence[_Fact], otherwise: Sequence[_Fact]
    ) -> Sequence[_Fact]:
        """The outputs of the branch that a constant chooses, or those on which both agree."""
        condition = site.input(0)
        if isinstance(condition, Mixing | Undecided):
            return [condition] * len(site.node.output)
        if not isinstance(condition, Tensor):
            return undecided(site, MISFIT)
        choice = None if condition.elements is None else next(iter(condition.elements.flat), None)
        if isinstance(choice, int):
            return [output or NOTHING for output in (then if choice else otherwise)]
        if condition.rows and not condition.uniform:
            return mixing(site, "the rows of the batch choose its branch")
        if condition.follows:
            return mixing(site, "the batch size chooses its branch")
        pairs = zip(then, otherwise, strict=False)
        return [join(site, left or NOTHING, right or NOTHING) for left, right in pairs]

    def repeat(self, site: Site[_Fact]) -> Sequence[_Fact]:
        """The outputs of a Loop or Scan are undecided: its passes are not followed."""
        return undecided(site, _REPEATED)

    def endless(self, site: Site[_Fact], reason: Endless) -> Sequence[_Fact]:
        """The outputs of a node that the traversal does not enter are undecided."""
        if reason is Endless.LONG:
            return undecided(
                site, f"the functions of the model spell out to more than {NODES_LIMIT} nodes"
            )
        return undecided(site, str(reason))

    def binding(self, value: _Fact) -> Hashable:
        """All facts about a value, as a key."""
        return key_of(value)

    def recall(
        self, outputs: Sequence[_Fact], inputs: Sequence[_Fact], before: str, now: str
    ) -> Sequence[_Fact]:
        """The outputs of a body that was read before; the paths of its nodes become this call's."""
        return [
            replace(output, node=now + output.node.removeprefix(before))
            if isinstance(output, Mixing | Undecided)
            and output.node is not None
            and output.node.startswith(f"{before}/")
            else output
            for output in renewed(outputs, inputs)
        ]
