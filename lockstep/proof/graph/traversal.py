"""The traversal of an ONNX model, in the order in which it would run.

The traversal handles what all readers need:

- the names in scope; a subgraph sees those of the graphs around it;
- the functions of the file, with the attributes and operator sets that a call binds;
- the branches of an If, and the bodies of Loop and Scan;
- the initializers that a caller may replace.

It visits every node that can run, and the reader derives the facts about the node's outputs. Nodes
with unused outputs and branches that are never taken are visited too. A function that is never
called is not visited. A function that is called many times is read once for each different binding
of its inputs and attributes.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

from lockstep.proof.graph.reader import Endless, Reader
from lockstep.proof.graph.site import Known, Site

# A small file can stand for unbounded work: functions that call functions several times each.
NODES_LIMIT = 1_000_000
BODIES_LIMIT = 10_000
NESTING_LIMIT = 64

_BRANCHES: Final = ("then_branch", "else_branch")

_FunctionName = tuple[str, str, str]  # domain, name, overload


@dataclass(frozen=True)
class Output(Generic[Known]):
    """One output of a model.

    Attributes:
        name: its name.
        value: the fact about it.
        made_by: the node that computes it; None if it is an input or initializer.
    """

    name: str
    value: Known
    made_by: Site[Known] | None


@dataclass(frozen=True)
class _FunctionBody(Generic[Known]):
    """The body of a function after it was read.

    Attributes:
        path: of the body.
        outputs: the facts about them.
    """

    path: str
    outputs: Sequence[Known]


@dataclass(frozen=True)
class _Scope(Generic[Known]):
    """The scope of a node.

    Attributes:
        path: path of the graph or function.
        versions: version of each domain's operator set.
        values: the fact about each tensor; a subgraph sees those of the graphs around it.
        attributes: the values that a call binds to the attribute names in the function's body.
        calls: the functions whose bodies are around the node.
        depth: how many subgraphs and function bodies are around the node.
    """

    path: str
    versions: Mapping[str, int]
    values: ChainMap[str, Known]
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    calls: tuple[_FunctionName, ...] = ()
    depth: int = 0

    def attributes_of(self, node: NodeProto) -> dict[str, AttributeProto]:
        bound = {}
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                bound[attribute.name] = attribute
            elif attribute.ref_attr_name in self.attributes:
                bound[attribute.name] = self.attributes[attribute.ref_attr_name]
        return bound


class Traversal(Generic[Known]):
    """One reading of a model.

    Attributes:
        operators: the number of nodes read so far; a function's count once for each binding.
    """

    def __init__(self, model: ModelProto, reader: Reader[Known]) -> None:
        self.operators = 0
        self._model = model
        self._reader = reader
        self._functions: dict[_FunctionName, FunctionProto] = {
            (_domain(function.domain), function.name, function.overload): function
            for function in model.functions
        }
        self._bodies: dict[Hashable, _FunctionBody[Known]] = {}

    def outputs(self) -> list[Output[Known]]:
        """Read the model; returns the fact about each of its outputs."""
        graph = self._model.graph
        scope = _Scope[Known]("main", operator_sets(self._model), ChainMap({}))
        self._read_weights(graph, scope)
        given = [each for each in graph.input if each.name not in scope.values]
        scope.values.update(self._reader.given(given))
        made_by = self._read_nodes(graph.node, scope)
        return [
            Output(each.name, self._value(each.name, scope), made_by.get(each.name))
            for each in graph.output
        ]

    def _value(self, name: str, scope: _Scope[Known]) -> Known:
        if not name:
            return self._reader.absent
        return scope.values[name] if name in scope.values else self._reader.unnamed(name)

    def _read_weights(self, graph: GraphProto, scope: _Scope[Known]) -> None:
        # Below IR version 4 every initializer had to be listed as an input, so that says nothing.
        listed = graph.input if self._model.ir_version >= 4 else ()
        replaceable = {each.name: each for each in listed}
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            scope.values[name] = self._reader.weight(sparse, replaceable.get(name))
        for tensor in graph.initializer:
            scope.values[tensor.name] = self._reader.weight(tensor, replaceable.get(tensor.name))

    def _read_nodes(
        self, nodes: Iterable[NodeProto], scope: _Scope[Known]
    ) -> dict[str, Site[Known]]:
        """Read nodes in order; returns the node that computes each value."""
        made_by = {}
        for place, node in enumerate(nodes):
            self.operators += 1
            site = self._site(node, place, scope)
            for name, value in zip(node.output, self._read_node(site, scope), strict=False):
                if name:
                    scope.values[name] = value
                    made_by[name] = site
        return made_by

    def _site(self, node: NodeProto, place: int, scope: _Scope[Known]) -> Site[Known]:
        domain = _domain(node.domain)
        name = node.name.strip("/") or f"{node.op_type}_{place}"
        return Site(
            node=node,
            domain=domain,
            version=scope.versions.get(domain, 1),
            place=place,
            path=f"{scope.path}/{name}",
            attributes=scope.attributes_of(node),
            inputs=[self._value(each, scope) for each in node.input],
            absent=self._reader.absent,
            is_call=(domain, node.op_type, node.overload) in self._functions,
        )

    def _read_node(self, site: Site[Known], scope: _Scope[Known]) -> Sequence[Known]:
        """Read a node and its subgraphs or body; returns the facts about its outputs."""
        if self.operators > NODES_LIMIT or len(self._bodies) > BODIES_LIMIT:
            return self._reader.endless(site, Endless.LONG)
        self._reader.meet(site)
        subgraphs = [] if site.is_call else list(site.subgraphs())
        if not site.is_call and not subgraphs:
            return self._reader.compute(site)
        if scope.depth >= NESTING_LIMIT:
            return self._reader.endless(site, Endless.DEEP)
        return self._read_call(site, scope) if site.is_call else self._read_subgraphs(site, scope)

    def _read_subgraphs(self, site: Site[Known], scope: _Scope[Known]) -> Sequence[Known]:
        """Read the branches of an If, or the body of a Loop, Scan or SequenceMap."""
        bodies: dict[str, list[Known]] = {}
        for name, graph in site.subgraphs():
            carried = {each.name: self._reader.carried(site) for each in graph.input}
            inner = _Scope(
                f"{site.path}.{name}",
                scope.versions,
                scope.values.new_child(carried),
                scope.attributes,
                scope.calls,
                scope.depth + 1,
            )
            self._read_weights(graph, inner)
            self._read_nodes(graph.node, inner)
            bodies[name] = [self._value(each.name, inner) for each in graph.output]
        if (site.domain, site.node.op_type) == ("", "If") and set(bodies) == set(_BRANCHES):
            return self._reader.choose(site, *(bodies[name] for name in _BRANCHES))
        return self._reader.repeat(site)

    def _read_call(self, site: Site[Known], scope: _Scope[Known]) -> Sequence[Known]:
        """Read the body of a function as this call binds it."""
        name = (site.domain, site.node.op_type, site.node.overload)
        if name in scope.calls:
            return self._reader.endless(site, Endless.RECURSIVE)
        function = self._functions[name]
        attributes = {default.name: default for default in function.attribute_proto}
        attributes |= site.attributes
        # An optional input that is not given is absent in the body too.
        values = {formal: site.input(k) for k, formal in enumerate(function.input) if formal}
        path = f"{site.path}.{function.name}"
        key = (
            name,
            tuple((formal, self._reader.binding(value)) for formal, value in values.items()),
            tuple((given, attributes[given].SerializeToString()) for given in sorted(attributes)),
        )
        inputs = list(values.values())
        body = self._bodies.get(key)
        if body is not None:
            outputs = self._reader.recall(body.outputs, inputs, body.path, path)
            return self._reader.call(site, outputs)
        inner = _Scope(
            path,
            operator_sets(function) or scope.versions,
            ChainMap(values),
            attributes,
            (*scope.calls, name),
            scope.depth + 1,
        )
        self._read_nodes(function.node, inner)
        outputs = [self._value(output, inner) for output in function.output]
        self._bodies[key] = _FunctionBody(path, outputs)
        return self._reader.call(site, outputs)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def operator_sets(holder: ModelProto | FunctionProto) -> dict[str, int]:
    """Version of each domain's operator set; the default domain is the empty string."""
    return {_domain(opset.domain): opset.version for opset in holder.opset_import}
