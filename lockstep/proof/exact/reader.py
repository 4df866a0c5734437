"""The reader of exactness: it applies the rule of each node, or raises if the argument breaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, SparseTensorProto, TensorProto, ValueInfoProto, numpy_helper

from lockstep.proof.exact.interval import Broken, Interval
from lockstep.proof.exact.operation import Accumulation, Operation
from lockstep.proof.exact.table import RULES
from lockstep.proof.graph.reader import Endless, Reader
from lockstep.proof.graph.site import Site
from lockstep.proof.graph.traversal import Traversal, operator_sets

LEAST_OPSET: Final = 13
"""Since this version Clip, Squeeze and ReduceSum take their numbers as inputs."""

_UNKNOWN_OPERATOR: Final = "it is not among the operators that are exact or correctly rounded"


@dataclass(frozen=True)
class NoFact:
    """A value that no node computes.

    Attributes:
        name: of the value.
    """

    name: str


_ExactFact = Interval | NoFact | None
_Site = Site[_ExactFact]


class ExactReader(Reader[_ExactFact]):
    """Notes bounds and grids, and raises :class:`BrokenAt` where the argument breaks.

    A node with a body (a function of the file, an If, a Loop) breaks the argument: networks in
    exact precision have none.

    Attributes:
        accumulations: the nodes whose sums are shown to be exact, so far.
        operators: every operator that was visited.
    """

    absent = None

    def __init__(self) -> None:
        self.accumulations: list[Accumulation] = []
        self.operators: set[str] = set()

    def unnamed(self, name: str) -> _ExactFact:
        """A name that no node computes is missing."""
        return NoFact(name)

    def weight(
        self, tensor: TensorProto | SparseTensorProto, replaceable: ValueInfoProto | None
    ) -> _ExactFact:
        """The facts about a tensor in the file; one that a caller may replace is like an input."""
        if isinstance(tensor, SparseTensorProto):
            raise BrokenAt("graph", "", Broken("it holds sparse weights"))
        if replaceable is not None:
            return _given(replaceable)
        with _breaking_at(tensor.name, "initializer"):
            return _constant(tensor)

    def given(self, inputs: Sequence[ValueInfoProto]) -> Mapping[str, _ExactFact]:
        """The facts about the model's inputs: they may hold any bits."""
        return {each.name: _given(each) for each in inputs}

    def carried(self, site: _Site) -> _ExactFact:
        """An input of a subgraph is missing: subgraphs are not followed."""
        return NoFact(site.path)

    def meet(self, site: _Site) -> None:
        """Break at an operator without a rule."""
        self.operators.add(site.node.op_type)
        with _breaking_at(path_of(site), site.node.op_type):
            _refuse_unread(site)

    def compute(self, site: _Site) -> Sequence[_ExactFact]:
        """Apply the rule of an operator."""
        with _breaking_at(path_of(site), site.node.op_type):
            try:
                return self._computed(site)
            except (ValueError, IndexError, KeyError, TypeError) as error:
                raise Broken(f"it is not put together as its operator asks ({error})") from error

    def _computed(self, site: _Site) -> Sequence[_ExactFact]:
        attributes = {
            name: onnx.helper.get_attribute_value(each) for name, each in site.attributes.items()
        }
        if site.node.op_type == "Constant":
            return [_constant_of(attributes)]
        operation = Operation(
            path=path_of(site),
            operator=site.node.op_type,
            names=tuple(site.node.input),
            values=[None if isinstance(value, NoFact) else value for value in site.inputs],
            attributes=attributes,
            outputs=len(site.node.output),
            accumulations=self.accumulations,
        )
        made = RULES[site.node.op_type](operation)
        return made if isinstance(made, list) else [made]

    def choose(
        self, site: _Site, then: Sequence[_ExactFact], otherwise: Sequence[_ExactFact]
    ) -> Sequence[_ExactFact]:
        """Refuse an If; `meet` has refused it before."""
        del then, otherwise
        return self.repeat(site)

    def repeat(self, site: _Site) -> Sequence[_ExactFact]:
        """Refuse a Loop or Scan; `meet` has refused it before."""
        raise BrokenAt(path_of(site), site.node.op_type, Broken(_UNKNOWN_OPERATOR))

    def endless(self, site: _Site, reason: Endless) -> Sequence[_ExactFact]:
        """Break at a node that the traversal does not enter."""
        raise BrokenAt(path_of(site), site.node.op_type, Broken(str(reason)))


def follow(model: ModelProto, reader: ExactReader) -> None:
    """Follow a graph from its inputs to its outputs.

    Raises:
        BrokenAt: at the first node at which the argument breaks.
    """
    if operator_sets(model).get("", 0) < LEAST_OPSET:
        raise BrokenAt("graph", "", Broken(f"its operator set is older than {LEAST_OPSET}"))
    for output in Traversal(model, reader).outputs():
        with _breaking_at(output.name, "output"):
            _check_output(output.value)


def path_of(site: _Site) -> str:
    """A node's name, or its place. There is one graph only, so no path is needed."""
    return site.node.name or f"{site.node.op_type} at place {site.place}"


def _refuse_unread(site: _Site) -> None:
    if site.domain:
        raise Broken(f"nothing is known of the operators of {site.domain}")
    if site.is_call:
        raise Broken("the file gives it a body of its own")
    if site.node.op_type == "Constant":
        return
    for value in site.inputs:
        if isinstance(value, NoFact):
            raise Broken(f"nothing is known of {value.name!r}, which enters it")
    if site.node.op_type not in RULES:
        raise Broken(_UNKNOWN_OPERATOR)


def _check_output(value: _ExactFact) -> None:
    if value is None or isinstance(value, NoFact):
        raise Broken("nothing computes it")
    if value.nan:
        raise Broken("it may be NaN, whose bits are not fixed")
    if value.zero and bool(value.may_be_zero().any()):
        raise Broken("it may be 0 of either sign")


@contextmanager
def _breaking_at(node: str, operator: str) -> Iterator[None]:
    try:
        yield
    except Broken as error:
        raise BrokenAt(node, operator, error) from error


class BrokenAt(Exception):
    """The argument breaks at a node.

    Attributes:
        node: its path.
        operator: of the node.
        unit: of the node, if it is a single unit.
        reason: one clause.
    """

    def __init__(self, node: str, operator: str, broken: Broken) -> None:
        super().__init__(broken.reason)
        self.node, self.operator = node, operator
        self.unit, self.reason = broken.unit, broken.reason


def _constant(tensor: onnx.TensorProto) -> Interval:
    return Interval.of(numpy_helper.to_array(tensor))


def _constant_of(attributes: Mapping[str, Any]) -> Interval:
    single: dict[str, Any] = {"value_float": np.float32, "value_int": np.int64}
    several: dict[str, Any] = {"value_floats": np.float32, "value_ints": np.int64}
    for name, value in attributes.items():
        if name == "value":
            return _constant(value)
        if name in single | several:
            return Interval.of(np.array(value, (single | several)[name]))
    raise Broken("it holds no numbers")


def _given(info: ValueInfoProto) -> Interval:
    kind = info.type.tensor_type
    sizes = [size.dim_value for size in kind.shape.dim]
    with _breaking_at(info.name, "input"):
        if not sizes or any(size < 1 for size in sizes[1:]):
            raise Broken("the size of a row must be known")
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        return Interval.anything((1, *sizes[1:]), dtype)
