"""The interface of a reader: what a traversal asks about the nodes of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum
from typing import Generic

from onnx import SparseTensorProto, TensorProto, ValueInfoProto

from lockstep.proof.graph.site import Known, Site


class Endless(StrEnum):
    """The reason why a traversal stops at a node."""

    RECURSIVE = "the functions of the model call each other without end"
    DEEP = "the subgraphs and functions of the model nest too deeply"
    LONG = "the functions of the model spell out to too much"


class Reader(ABC, Generic[Known]):
    """Derives the facts about an operator's outputs from the facts about its inputs.

    This is abstract interpretation (Cousot and Cousot, 1977). The fact about a variable of a
    repeated body must hold at every pass, so one reading of the body is enough.

    Attributes:
        absent: the fact about an input that is not given.
    """

    absent: Known

    @abstractmethod
    def unnamed(self, name: str) -> Known:
        """The fact about a name that no node computes."""

    @abstractmethod
    def weight(
        self, tensor: TensorProto | SparseTensorProto, replaceable: ValueInfoProto | None
    ) -> Known:
        """The fact about a tensor of the file.

        Args:
            tensor: an initializer.
            replaceable: the graph input of the same name, if there is one: then a caller may give
                another tensor.
        """

    @abstractmethod
    def given(self, inputs: Sequence[ValueInfoProto]) -> Mapping[str, Known]:
        """The facts about the inputs that a caller must give, by name."""

    @abstractmethod
    def carried(self, site: Site[Known]) -> Known:
        """The fact about each input of a subgraph: a variable of a loop or scan, at every pass."""

    @abstractmethod
    def meet(self, site: Site[Known]) -> None:
        """Look at a node, before its subgraphs or function body are read."""

    @abstractmethod
    def compute(self, site: Site[Known]) -> Sequence[Known]:
        """The facts about the outputs of an operator without subgraphs or a function body."""

    @abstractmethod
    def choose(
        self, site: Site[Known], then: Sequence[Known], otherwise: Sequence[Known]
    ) -> Sequence[Known]:
        """The facts about the outputs of an If, from those of its branches."""

    @abstractmethod
    def repeat(self, site: Site[Known]) -> Sequence[Known]:
        """The facts about the outputs of a Loop, a Scan, or another operator with subgraphs."""

    @abstractmethod
    def endless(self, site: Site[Known], reason: Endless) -> Sequence[Known]:
        """The facts about the outputs of a node that the traversal does not enter; may raise."""

    def call(self, site: Site[Known], outputs: Sequence[Known]) -> Sequence[Known]:
        """The facts about the outputs of a call, from those of the function's body."""
        del site
        return outputs

    def binding(self, value: Known) -> Hashable:
        """A key of a fact: if the inputs of two calls have equal keys, the body is read once."""
        return value

    def recall(
        self, outputs: Sequence[Known], inputs: Sequence[Known], before: str, now: str
    ) -> Sequence[Known]:
        """The facts about the outputs of a function's body that was read before with equal keys.

        Args:
            outputs: the facts from that reading.
            inputs: the facts about the body's inputs in this call.
            before: path of the body in that reading.
            now: path of the body in this call.
        """
        del inputs, before, now
        return outputs
