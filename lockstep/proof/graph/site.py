"""A node of a model, with its place and its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from onnx import AttributeProto, GraphProto, NodeProto

Known = TypeVar("Known")


@dataclass(frozen=True, eq=False)
class Site(Generic[Known]):
    """One node, with its place in the model and the facts about its inputs.

    Attributes:
        node: the node.
        domain: its domain, the default one as the empty string.
        version: version of that domain's operator set, as the graph or function imports it.
        place: its place among the nodes of its graph or function, from 0.
        path: its path, subgraphs and functions included, e.g. ``main/If_3.then_branch/Softmax_0``.
        attributes: its attributes by name, including those that a function's call binds.
        inputs: the fact about each of its inputs.
        absent: the fact about an input that is not given.
        is_call: whether its operator is a function of the file, with a body.
    """

    node: NodeProto
    domain: str
    version: int
    place: int
    path: str
    attributes: Mapping[str, AttributeProto]
    inputs: Sequence[Known]
    absent: Known
    is_call: bool

    @property
    def operator(self) -> str:
        """The operator's name, with its domain where that is not the default one."""
        return f"{self.domain}.{self.node.op_type}" if self.domain else self.node.op_type

    def input(self, index: int) -> Known:
        """The fact about the input at an index; ``absent`` past the last one."""
        return self.inputs[index] if index < len(self.inputs) else self.absent

    def subgraphs(self) -> Iterator[tuple[str, GraphProto]]:
        """The graphs in its attributes, each with its attribute's name."""
        for name, attribute in self.attributes.items():
            # The attribute's type is not asked: files of IR version 1 do not state it.
            if attribute.HasField("g"):
                yield name, attribute.g
            for graph in attribute.graphs:
                yield name, graph
