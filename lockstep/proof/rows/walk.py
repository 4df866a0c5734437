"""The walk through a model: every node's rule, in the order in which the graph would run."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

from lockstep.proof.rows.feed import fed
from lockstep.proof.rows.shape import constant_tensor
from lockstep.proof.rows.step import MISFIT, Site, join, step
from lockstep.proof.rows.table import LEARNER_DOMAIN
from lockstep.proof.rows.value import Mixing, Tensor, Undecided, Value

# A small file can spell endless work: functions that call functions, several times each.
NODES_READ_LIMIT: Final = 1_000_000
CALL_DEPTH_LIMIT: Final = 64
_GRAPHS: Final = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})

_FunctionName = tuple[str, str, str]  # domain, name, overload


@dataclass(frozen=True)
class _Scope:
    """Where a node stands.

    Attributes:
        path: path of the graph or function.
        versions: version of each domain's operator set.
        values: what is known of each value; a subgraph sees those of the graphs around it.
        attributes: what the call of a function binds to the attributes that its body refers to.
        calls: the functions whose bodies are around the node.
    """

    path: str
    versions: Mapping[str, int]
    values: ChainMap[str, Value]
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    calls: tuple[_FunctionName, ...] = ()

    def value(self, name: str) -> Value | None:
        if not name:
            return None
        return self.values.get(name, Undecided(None, None, f"nothing computes {name!r}"))

    def attributes_of(self, node: NodeProto) -> dict[str, AttributeProto]:
        bound = {}
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                bound[attribute.name] = attribute
            elif attribute.ref_attr_name in self.attributes:
                bound[attribute.name] = self.attributes[attribute.ref_attr_name]
        return bound


@dataclass(frozen=True)
class Output:
    """What is known of one output of the model.

    Attributes:
        name: its name.
        value: its value.
        made_by: the node that computes it, None where it is an input or initializer.
    """

    name: str
    value: Value
    made_by: Site | None


class Walk:
    """One walk through a model."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._nodes_read = 0
        self._functions: dict[_FunctionName, FunctionProto] = {
            (_domain(function.domain), function.name, function.overload): function
            for function in model.functions
        }

    def outputs(self) -> list[Output]:
        """Follow the batch from the inputs to the outputs of the model."""
        graph = self._model.graph
        scope = _Scope("main", _versions(self._model), ChainMap(fed(graph)))
        made_by = self._read_graph(graph, scope)
        return [
            Output(output.name, scope.value(output.name) or _NOTHING, made_by.get(output.name))
            for output in graph.output
        ]

    def _read_graph(self, graph: GraphProto, scope: _Scope) -> dict[str, Site]:
        for tensor in graph.initializer:
            scope.values[tensor.name] = constant_tensor(tensor)
        for sparse in graph.sparse_initializer:
            scope.values[sparse.values.name] = Tensor(tuple(sparse.dims))
        return self._read_nodes(graph.node, scope)

    def _read_nodes(self, nodes: Sequence[NodeProto], scope: _Scope) -> dict[str, Site]:
        made_by = {}
        for index, node in enumerate(nodes):
            self._nodes_read += 1
            name = node.name.strip("/") or f"{node.op_type}_{index}"
            site = Site(node, _domain(node.domain), f"{scope.path}/{name}")
            values = self._read_node(site, scope)
            scope.values.update(
                {name: value for name, value in zip(node.output, values, strict=False) if name}
            )
            made_by.update(dict.fromkeys(node.output, site))
        return made_by

    def _read_node(self, site: Site, scope: _Scope) -> list[Value]:
        node = site.node
        if self._nodes_read > NODES_READ_LIMIT:
            return site.undecided(
                f"the functions of the model spell out to more than {NODES_READ_LIMIT} nodes"
            )
        function = (site.domain, node.op_type, node.overload)
        given = [scope.value(name) for name in node.input]
        if function in self._functions:
            return self._read_call(function, site, given, scope)
        if site.domain == "" and node.op_type == "If":
            return self._read_if(site, given, scope)
        if any(attribute.type in _GRAPHS for attribute in node.attribute):
            return site.undecided("it repeats or chooses a subgraph in a way not followed")
        version = scope.versions.get(site.domain, 1)
        return step(site, given, version, scope.attributes_of(node))

    def _read_call(
        self, name: _FunctionName, site: Site, given: list[Value | None], scope: _Scope
    ) -> list[Value]:
        """Read the body of a function as this call binds it."""
        if site.domain in {"", LEARNER_DOMAIN}:
            return site.undecided("the file gives a standard operator a body of its own")
        if name in scope.calls or len(scope.calls) >= CALL_DEPTH_LIMIT:
            return site.undecided("the functions of the model call each other without end")
        function = self._functions[name]
        attributes = {default.name: default for default in function.attribute_proto}
        attributes |= scope.attributes_of(site.node)
        values: dict[str, Value] = {
            formal: value
            for formal, value in zip(function.input, given, strict=False)
            if value is not None
        }
        # An optional input that is not given is an empty name inside the body too.
        missing = [formal for formal in function.input if formal not in values]
        body = _Scope(
            f"{site.path}.{function.name}",
            _versions(function) or scope.versions,
            ChainMap(values),
            attributes,
            (*scope.calls, name),
        )
        nodes = [_without(node, missing) for node in function.node] if missing else function.node
        self._read_nodes(nodes, body)
        return [body.value(output) or _NOTHING for output in function.output]

    def _read_if(self, site: Site, given: list[Value | None], scope: _Scope) -> list[Value]:
        """Read the branch that a constant chooses, or what both branches agree on."""
        condition = given[0] if given else None
        if isinstance(condition, Mixing | Undecided):
            return [condition] * len(site.node.output)
        if not isinstance(condition, Tensor):
            return site.undecided(MISFIT)
        choice = None if condition.elements is None else next(iter(condition.elements.flat), None)
        if isinstance(choice, int):
            return self._read_branch(site, "then_branch" if choice else "else_branch", scope)
        if condition.rows and not condition.uniform:
            return site.mixing("the rows of the batch choose its branch")
        if condition.follows:
            return site.mixing("the batch size chooses its branch")
        then, otherwise = (
            self._read_branch(site, name, scope) for name in ("then_branch", "else_branch")
        )
        return [join(site, *pair) for pair in zip(then, otherwise, strict=True)]

    def _read_branch(self, site: Site, name: str, scope: _Scope) -> list[Value]:
        graph = next(attribute.g for attribute in site.node.attribute if attribute.name == name)
        inner = replace(scope, path=f"{site.path}.{name}", values=scope.values.new_child())
        self._read_graph(graph, inner)
        return [inner.value(output.name) or _NOTHING for output in graph.output]


_NOTHING: Final = Undecided(None, None, "an output is not named")


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _versions(holder: ModelProto | FunctionProto) -> dict[str, int]:
    return {_domain(opset.domain): opset.version for opset in holder.opset_import}


def _without(node: NodeProto, missing: Sequence[str]) -> NodeProto:
    """The node with empty names for inputs that are not given."""
    if not set(missing) & set(node.input):
        return node
    bare = NodeProto()
    bare.CopyFrom(node)
    bare.input[:] = ["" if name in missing else name for name in node.input]
    return bare
