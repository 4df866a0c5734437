"""The walk through a graph: what each node makes of what is known, or where the argument breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, numpy_helper

from lockstep.proof.exact import accumulation, arithmetic, layout, selection
from lockstep.proof.exact.site import Accumulation, Site
from lockstep.proof.exact.value import Broken, Value

LEAST_OPSET: Final = 13
"""From it on Clip, Squeeze and ReduceSum take their numbers as inputs."""

Rule = Callable[[Site], Value | list[Value]]

ROUNDED_ONCE: Final[dict[str, Rule]] = {
    "Add": arithmetic.add,
    "Sub": arithmetic.subtract,
    "Mul": arithmetic.multiply,
    "Div": arithmetic.divide,
    "Sqrt": arithmetic.root,
    "Cast": arithmetic.cast,
}
"""Operators that IEEE 754 rounds correctly, and which so give the same bits everywhere."""

SUMS: Final[dict[str, Rule]] = {
    "MatMul": accumulation.matrix_product,
    "Gemm": accumulation.gemm,
    "ReduceSum": accumulation.reduce_sum,
}
"""Operators whose order of additions is not fixed: none of them may round."""

EXACT: Final[dict[str, Rule]] = {
    "Neg": arithmetic.negate,
    "Abs": arithmetic.absolute,
    "Round": arithmetic.rounded,
    "Floor": arithmetic.rounded,
    "Ceil": arithmetic.rounded,
    "Mod": arithmetic.modulo,
    "Min": selection.extreme,
    "Max": selection.extreme,
    "Relu": selection.relu,
    "Clip": selection.clip,
    "Where": selection.where,
    "IsNaN": selection.is_nan,
    "Equal": selection.compare,
    "Less": selection.compare,
    "LessOrEqual": selection.compare,
    "Greater": selection.compare,
    "GreaterOrEqual": selection.compare,
    "And": selection.logic,
    "Or": selection.logic,
    "Not": selection.logic,
    "ReduceMax": selection.reduce_extreme,
    "ReduceMin": selection.reduce_extreme,
    "Gather": selection.gather,
    "GatherND": selection.gather_nd,
    "Identity": layout.identity,
    "Reshape": layout.reshape,
    "Transpose": layout.transpose,
    "Unsqueeze": layout.unsqueeze,
    "Squeeze": layout.squeeze,
    "Flatten": layout.flatten,
    "Expand": layout.expand,
    "Concat": layout.concatenate,
    "Split": layout.split,
    "Slice": layout.cut,
}
"""Operators that choose, move or round to whole numbers: nothing is lost in them."""

_RULES: Final = {**ROUNDED_ONCE, **SUMS, **EXACT}


class Walk:
    """One walk through a model's graph.

    Attributes:
        accumulations: the sums that were shown to be exact.
        operators: every operator that was met.
    """

    def __init__(self, model: ModelProto) -> None:
        self.accumulations: list[Accumulation] = []
        self.operators: set[str] = set()
        self._model = model
        self._known: dict[str, Value] = {}

    def follow(self) -> None:
        """Follow the graph from its inputs to its outputs.

        Raises:
            BrokenAt: at the first node at which the argument breaks.
        """
        graph = self._model.graph
        self._check_version()
        given = {each.name for each in graph.input}
        for tensor in graph.initializer:
            if tensor.name not in given:  # a caller may replace one that is an input too
                self._learn(tensor.name, "initializer", lambda t=tensor: _constant(t))  # type: ignore[misc]  # bound here
        for each in graph.input:
            self._learn(each.name, "input", lambda e=each: _given(e))  # type: ignore[misc]  # bound here
        for place, node in enumerate(graph.node):
            self._step(node, place)
        for output in graph.output:
            self._check_output(output.name)

    def _check_version(self) -> None:
        versions = {each.domain: each.version for each in self._model.opset_import}
        if max(versions.get("", 0), versions.get("ai.onnx", 0)) < LEAST_OPSET:
            raise BrokenAt("graph", "", Broken(f"its operator set is older than {LEAST_OPSET}"))
        if self._model.graph.sparse_initializer:
            raise BrokenAt("graph", "", Broken("it holds sparse weights"))

    def _learn(self, name: str, operator: str, read: Callable[[], Value]) -> None:
        try:
            self._known[name] = read()
        except Broken as error:
            raise BrokenAt(name, operator, error) from error

    def _step(self, node: NodeProto, place: int) -> None:
        path = node.name or f"{node.op_type} at place {place}"
        self.operators.add(node.op_type)
        try:
            made = self._made(node, place)
        except Broken as error:
            raise BrokenAt(path, node.op_type, error) from error
        except (ValueError, IndexError, KeyError, TypeError) as error:
            odd = Broken(f"it is not put together as its operator asks ({error})")
            raise BrokenAt(path, node.op_type, odd) from error
        for name, value in zip(node.output, made, strict=True):
            self._known[name] = value

    def _made(self, node: NodeProto, place: int) -> list[Value]:
        if node.domain not in {"", "ai.onnx"}:
            raise Broken(f"nothing is known of the operators of {node.domain}")
        if node.op_type == "Constant":
            return [_constant_node(node)]
        rule = _RULES.get(node.op_type)
        site = Site.of(node, place, self._known, self.accumulations)
        if node.op_type == "Shape":
            return [_shape(site)]
        if rule is None:
            raise Broken("it is not among the operators that are exact or correctly rounded")
        made = rule(site)
        return made if isinstance(made, list) else [made]

    def _check_output(self, name: str) -> None:
        value = self._known.get(name)
        if value is None:
            raise BrokenAt(name, "output", Broken("nothing computes it"))
        if value.nan:
            raise BrokenAt(name, "output", Broken("it may be NaN, whose bits are not fixed"))
        if value.zero and bool(value.may_be_zero().any()):
            raise BrokenAt(name, "output", Broken("it may be 0 of either sign"))


class BrokenAt(Exception):
    """The argument breaks at a node.

    Attributes:
        node: its path.
        operator: what it is.
        unit: of the node, where it is one.
        reason: one clause.
    """

    def __init__(self, node: str, operator: str, broken: Broken) -> None:
        super().__init__(broken.reason)
        self.node, self.operator = node, operator
        self.unit, self.reason = broken.unit, broken.reason


def _constant(tensor: onnx.TensorProto) -> Value:
    return Value.of(numpy_helper.to_array(tensor))


def _constant_node(node: NodeProto) -> Value:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    single: dict[str, Any] = {"value_float": np.float32, "value_int": np.int64}
    several: dict[str, Any] = {"value_floats": np.float32, "value_ints": np.int64}
    for name, value in attributes.items():
        if name == "value":
            return _constant(value)
        if name in single | several:
            return Value.of(np.array(value, (single | several)[name]))
    raise Broken("it holds no numbers")


def _shape(site: Site) -> Value:
    """``Shape`` for a batch of one row; that no number depends on it, row independence says."""
    value = site.values[0]
    if value is None or site.attributes:
        raise Broken("only a whole shape is known")
    return Value.of(np.array(value.low.shape, np.int64))


def _given(info: ValueInfoProto) -> Value:
    kind = info.type.tensor_type
    sizes = [size.dim_value for size in kind.shape.dim]
    if not sizes or any(size < 1 for size in sizes[1:]):
        raise Broken("the size of a row must be known")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return Value.anything((1, *sizes[1:]), dtype)
