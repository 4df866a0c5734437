"""What whoever reads a model must say, so that a traversal can lead it through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum
from typing import Generic

from onnx import SparseTensorProto, TensorProto, ValueInfoProto

from lockstep.proof.graph.site import Known, Site


class Endless(StrEnum):
    """Why a traversal goes no further."""

    RECURSIVE = "the functions of the model call each other without end"
    DEEP = "the subgraphs and functions of the model nest too deeply"
    LONG = "the functions of the model spell out to too much"


class Reader(ABC, Generic[Known]):
    """Gives operators a meaning: what is known of their outputs, from what is of their inputs.

    This is abstract interpretation (Cousot and Cousot, 1977). What a reader says of the variable of
    a repeated body must hold at every pass, so that one reading of the body is enough.

    Attributes:
        absent: what is known of an input that is not given.
    """

    absent: Known

    @abstractmethod
    def unnamed(self, name: str) -> Known:
        """Of a name that nothing computes."""

    @abstractmethod
    def weight(
        self, tensor: TensorProto | SparseTensorProto, replaceable: ValueInfoProto | None
    ) -> Known:
        """Of a tensor that lies in the file.

        Args:
            tensor: an initializer.
            replaceable: the input of the same name, where a caller may give another tensor.
        """

    @abstractmethod
    def given(self, inputs: Sequence[ValueInfoProto]) -> Mapping[str, Known]:
        """Of the inputs of the model that a caller must give."""

    @abstractmethod
    def carried(self, site: Site[Known]) -> Known:
        """Of each input of a subgraph of a node: a variable of a loop or scan, at every pass."""

    @abstractmethod
    def meet(self, site: Site[Known]) -> None:
        """Look at a node before anything inside it is read."""

    @abstractmethod
    def compute(self, site: Site[Known]) -> Sequence[Known]:
        """Of the outputs of an operator that holds no graph and is no function of the file."""

    @abstractmethod
    def choose(
        self, site: Site[Known], then: Sequence[Known], otherwise: Sequence[Known]
    ) -> Sequence[Known]:
        """Of the outputs of an If, where those of its branches are known."""

    @abstractmethod
    def repeat(self, site: Site[Known]) -> Sequence[Known]:
        """Of the outputs of a Loop, a Scan, or any other operator that holds graphs."""

    @abstractmethod
    def endless(self, site: Site[Known], reason: Endless) -> Sequence[Known]:
        """Of the outputs of a node into which the traversal does not go; it may raise."""

    def call(self, site: Site[Known], outputs: Sequence[Known]) -> Sequence[Known]:
        """Of the outputs of a call, where those of the function's body are known."""
        del site
        return outputs

    def binding(self, value: Known) -> Hashable:
        """A key: a function whose inputs have equal keys has outputs of which the same is known."""
        return value

    def recall(
        self, outputs: Sequence[Known], inputs: Sequence[Known], before: str, now: str
    ) -> Sequence[Known]:
        """Of the outputs of a function's body that was read already, bound in the same way.

        Args:
            outputs: what was known of them then.
            inputs: what is known of the body's inputs, then and now.
            before: path of the body that was read.
            now: path of the body that need not be.
        """
        del inputs, before, now
        return outputs
