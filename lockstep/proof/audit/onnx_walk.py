"""The walk through an ONNX model, in the order in which it would run.

Beside every tensor stands what can be told about it without running anything, so that a flag is
found behind Identity, Constant, Cast, initializers, the branches of an If and the formal inputs of
a function. Nodes whose outputs nobody uses and branches that are never taken are judged like any
other. A function that is never called cannot run and is not judged; one that is called many times
is judged once for each way it is bound.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

from lockstep.errors import Unreadable
from lockstep.proof.audit.finding import Defect, Finding
from lockstep.proof.audit.onnx_mode import EXPORT_AGAIN, Site, judge
from lockstep.proof.audit.onnx_value import ABSENT, CARRIED, COMPUTED, Value, fold, value_of

# A small file can spell endless work: functions that call functions, several times each.
NODES_READ_LIMIT = 1_000_000
BODIES_READ_LIMIT = 10_000
NESTING_LIMIT = 64

_FunctionName = tuple[str, str, str]  # domain, name, overload


def subgraphs(attribute: AttributeProto) -> list[GraphProto]:
    """The graphs that an attribute holds."""
    # Not by its type: files of IR version 1 do not state it.
    return [attribute.g, *attribute.graphs] if attribute.HasField("g") else list(attribute.graphs)


@dataclass(frozen=True)
class _Scope:
    """Where a node stands.

    Attributes:
        path: path of the graph or function, for findings.
        versions: version of each domain's operator set.
        values: what is known of each tensor; a subgraph sees those of the graphs around it.
        attributes: what the call of a function binds to the attributes that its body refers to.
        depth: how many subgraphs and function bodies are around the node.
    """

    path: str
    versions: Mapping[str, int]
    values: ChainMap[str, Value]
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    depth: int = 0

    def __post_init__(self) -> None:
        if self.depth > NESTING_LIMIT:
            raise Unreadable(
                f"An ONNX model must not nest subgraphs and functions more than {NESTING_LIMIT} "
                "deep, nor may a function call itself, but this one does; export it without "
                "functions."
            )

    def value(self, name: str) -> Value:
        return self.values.get(name, COMPUTED) if name else ABSENT

    def attributes_of(self, node: NodeProto) -> dict[str, AttributeProto]:
        bound = {}
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                bound[attribute.name] = attribute
            elif attribute.ref_attr_name in self.attributes:
                bound[attribute.name] = self.attributes[attribute.ref_attr_name]
        return bound


class Walk:
    """One reading of a model.

    Attributes:
        findings: what was found so far.
        operators: the nodes read so far; a function's are counted once for each way it is bound.
    """

    def __init__(self, model: ModelProto) -> None:
        self.findings: list[Finding] = []
        self.operators = 0
        self._ir_version = model.ir_version
        self._functions: dict[_FunctionName, FunctionProto] = {
            (_domain(function.domain), function.name, function.overload): function
            for function in model.functions
        }
        self._outputs_of_calls: dict[object, list[Value]] = {}

    def read_model(self, model: ModelProto) -> None:
        """Read the main graph, and everything that it runs.

        Raises:
            Unreadable: it nests too deeply (a function that calls itself does), or its functions
                spell out to too many nodes.
        """
        if model.training_info:
            problem = "the file holds a training algorithm beside its graph"
            defect = Defect("training", problem, EXPORT_AGAIN)
            self.findings.append(defect.at("training_info", "TrainingInfoProto"))
        scope = _Scope("main", _versions(model), ChainMap({}))
        for given in model.graph.input:
            scope.values[given.name] = Value("input", origin=given.name)
        self._read_graph(model.graph, scope)

    def _read_graph(self, graph: GraphProto, scope: _Scope) -> list[Value]:
        """Read a graph whose inputs are bound in ``scope``; returns the values of its outputs."""
        # Below version 4 every initializer had to be listed as an input, to no effect.
        inputs = {given.name for given in graph.input} if self._ir_version >= 4 else set()
        for tensor in graph.initializer:
            scope.values[tensor.name] = value_of(tensor, overridable=tensor.name in inputs)
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            scope.values[name] = value_of(sparse, overridable=name in inputs)
        self._read_nodes(graph.node, scope)
        return [scope.value(output.name) for output in graph.output]

    def _read_nodes(self, nodes: Sequence[NodeProto], scope: _Scope) -> None:
        for index, node in enumerate(nodes):
            self.operators += 1
            if self.operators > NODES_READ_LIMIT or len(self._outputs_of_calls) > BODIES_READ_LIMIT:
                raise Unreadable(
                    f"An ONNX model must spell out to at most {NODES_READ_LIMIT:,} nodes and "
                    f"{BODIES_READ_LIMIT:,} function bodies, but there are more; export it without "
                    "functions."
                )
            name = node.name.strip("/") or f"{node.op_type}_{index}"
            results = self._read_node(node, f"{scope.path}/{name}", scope)
            scope.values.update(zip(node.output, results, strict=False))

    def _read_node(self, node: NodeProto, path: str, scope: _Scope) -> list[Value]:
        """Judge a node and what is inside it; returns one value for each of its outputs."""
        domain = _domain(node.domain)
        site = Site(
            node=node,
            domain=domain,
            version=scope.versions.get(domain, 1),
            attributes=scope.attributes_of(node),
            inputs=[scope.value(name) for name in node.input],
        )
        function = (domain, node.op_type, node.overload)
        called = function in self._functions
        if not called or domain == "":  # a body of one's own for Dropout does not make it another
            self._judge(site, path)
        if called:
            return self._read_call(function, site, path, scope)
        if any(map(subgraphs, site.attributes.values())):
            return self._read_subgraphs(site, path, scope)
        first = fold(node, site.attributes, site.inputs) if domain == "" else COMPUTED
        return [first] + [COMPUTED] * (len(node.output) - 1)

    def _judge(self, site: Site, path: str) -> None:
        defect = judge(site)
        if defect is not None:
            operator = f"{site.domain}.{site.node.op_type}" if site.domain else site.node.op_type
            self.findings.append(defect.at(path, operator))

    def _read_subgraphs(self, site: Site, path: str, scope: _Scope) -> list[Value]:
        """Read the branches of an If, or the body of a Loop, Scan or SequenceMap."""
        branches: dict[str, list[Value]] = {}
        for attribute in site.attributes.values():
            for graph in subgraphs(attribute):
                inner = _Scope(
                    f"{path}.{attribute.name}",
                    scope.versions,
                    scope.values.new_child({given.name: CARRIED for given in graph.input}),
                    scope.attributes,
                    scope.depth + 1,
                )
                branches[attribute.name] = self._read_graph(graph, inner)
        if branches.keys() == {"then_branch", "else_branch"}:
            return _join(site.input(0), branches["then_branch"], branches["else_branch"])
        return [COMPUTED] * len(site.node.output)

    def _read_call(self, name: _FunctionName, site: Site, path: str, scope: _Scope) -> list[Value]:
        """Read the body of a function as this call binds it."""
        function = self._functions[name]
        attributes = {default.name: default for default in function.attribute_proto}
        attributes |= site.attributes
        values = {
            formal: site.input(index) for index, formal in enumerate(function.input) if formal
        }
        bound = tuple(
            (given, attributes[given].SerializeToString()) for given in sorted(attributes)
        )
        key = (name, tuple(values.items()), bound)
        if key not in self._outputs_of_calls:
            body = _Scope(
                f"{path}.{function.name}",
                _versions(function) or scope.versions,
                ChainMap(values),
                attributes,
                scope.depth + 1,
            )
            self._read_nodes(function.node, body)
            self._outputs_of_calls[key] = [body.value(output) for output in function.output]
        return self._outputs_of_calls[key]


def _join(condition: Value, then: list[Value], otherwise: list[Value]) -> list[Value]:
    """The outputs of an If: those of the branch that a constant chooses, or what both agree on."""
    if condition.source == "constant" and condition.scalar is not None:
        return then if condition.scalar else otherwise
    pairs = zip(then, otherwise, strict=False)
    return [left if left == right else COMPUTED for left, right in pairs]


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _versions(holder: ModelProto | FunctionProto) -> dict[str, int]:
    return {_domain(opset.domain): opset.version for opset in holder.opset_import}
