"""The audit of a TorchScript file: every operator that is in, or able to enter, training mode.

The audit reads the inlined graph of each method of each module, in the order in which it would run.
For every value it notes the facts that are known without running it. So a flag is found through
attributes, branches and arguments. An unfrozen module whose ``training`` attributes are false is in
inference mode, but one call of ``train()`` changes that: its verdict is undecided.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, Final

import torch
from torch._C import Block, Graph, Node, parse_schema

from lockstep.proof.audit.finding import AuditReport, Defect, Finding
from lockstep.proof.audit.torchscript_mode import Operator, guard, judge
from lockstep.proof.audit.torchscript_value import NONE, JitValue, fold, join

# A call that is left after inlining leads to code that is known at run time only.
_CALLS = frozenset({"prim::CallMethod", "prim::CallFunction", "prim::PythonOp"})
_UNREADABLE: Final = Defect(
    "undecided",
    "it calls code that cannot be read before it runs",
    "Export again with torch.jit.trace, which writes down what the call does.",
)


def audit_torchscript(module: torch.nn.Module) -> AuditReport:
    """Find every operator that is in, or able to enter, training mode.

    Args:
        module: a loaded ``torch.jit.ScriptModule``.

    Returns:
        The report; ``operators`` counts the nodes of every method of every module, each place in
        the source once.
    """
    reading = _Reading()
    for _, owner in module.named_modules():
        reading.written.update(
            node.s("name")
            for _, graph in _methods(owner)
            for node in _nodes(graph)
            if node.kind() == "prim::SetAttr"
        )
    for path, owner in module.named_modules():
        for name, graph in _methods(owner):
            reading.read_method(path, name, owner, graph)
    return AuditReport(
        format="torchscript", operators=reading.operators, findings=tuple(reading.findings)
    )


def _methods(owner: Any) -> Iterator[tuple[str, Graph]]:
    """The inlined graphs of a module's methods and hooks; ``forward`` comes first."""
    compiled = owner._c  # noqa: SLF001 - torch has no public accessor
    for name in sorted(compiled._method_names(), key=lambda name: (name != "forward", name)):  # noqa: SLF001
        yield name, compiled._get_method(name).inlined_graph  # noqa: SLF001
    hooks = (*compiled._get_forward_pre_hooks(), *compiled._get_forward_hooks())  # noqa: SLF001
    for hook in hooks:
        yield hook.name, hook.inlined_graph


def _nodes(block: Graph | Block) -> Iterator[Node]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


# A module's path, an operator and its place in the source. Every graph into which the operator is
# inlined has the same.
_Place = tuple[str, str, str]
_Named = dict[str, JitValue]


class _Reading:
    """One reading of a file.

    Attributes:
        findings: those found so far.
        operators: the number of nodes read so far.
        written: names of attributes that some method sets, so that their values are not known.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.operators = 0
        self.written: set[str] = set()
        self._problems: dict[_Place, set[str]] = {}
        # The state of the method that is being read:
        self._owner = self._method = ""
        self._seen: dict[_Place, set[str]] = {}
        self._names: Counter[str] = Counter()

    def read_method(self, path: str, name: str, owner: torch.nn.Module, graph: Graph) -> None:
        """Read one method; parts of it may have been read before, where they are inlined."""
        self._owner, self._method = path, f"{path}.{name}" if path else name
        self._seen, self._names = {}, Counter()
        module, *formals = graph.inputs()
        argument = JitValue(origin=f"an argument of {self._method}")
        values = {formal.debugName(): argument for formal in formals}
        values[module.debugName()] = JitValue(known=True, payload=owner, fixed=True, origin=path)
        self._read_block(graph, values, guarded=False)
        for place, problems in self._seen.items():
            self._problems.setdefault(place, set()).update(problems)

    def _read_block(self, block: Graph | Block, values: _Named, *, guarded: bool) -> list[JitValue]:
        for node in block.nodes():
            results = self._read_node(node, values, guarded=guarded)
            for output, result in zip(node.outputs(), results, strict=True):
                values[output.debugName()] = result
        return [values[output.debugName()] for output in block.outputs()]

    def _read_node(self, node: Node, values: _Named, *, guarded: bool) -> list[JitValue]:
        """Judge a node and its blocks; returns one value for each of its outputs."""
        kind = node.kind()
        inputs = [values[given.debugName()] for given in node.inputs()]
        if kind == "prim::If":
            self._judge(node, None)
            return self._read_if(node, inputs[0], values, guarded=guarded)
        random = node.isNondeterministic()
        arguments = dict(zip(_argument_names(node.schema()), inputs, strict=False))
        defect = _UNREADABLE if kind in _CALLS else judge(Operator(kind, arguments, random=random))
        self._judge(node, guard(defect) if defect and guarded else defect)
        for block in node.blocks():
            carried = JitValue(origin="a variable of a loop")
            values |= {formal.debugName(): carried for formal in block.inputs()}
            self._read_block(block, values, guarded=guarded)
        if node.hasAttribute("Subgraph"):
            return self._read_subgraph(node, inputs, guarded=guarded)
        if kind == "prim::Constant":
            return [_constant(node)]
        if kind == "prim::GetAttr":
            return [self._attribute(node, inputs[0])]
        closed = not (random or "generator" in arguments or list(node.blocks()))
        result = fold(kind, [_scalar(value) for value in inputs], closed=closed)
        others = [replace(result, known=False)] * node.outputsSize()
        return [result, *others][: node.outputsSize()]

    def _read_if(
        self, node: Node, condition: JitValue, values: _Named, *, guarded: bool
    ) -> list[JitValue]:
        """Read both branches. A branch that runs only after ``train()`` is read as guarded.

        A branch that a constant rules out is not read: every ``nn.Dropout`` has one, for
        ``inplace``.
        """
        then, otherwise = node.blocks()
        outputs: list[list[JitValue]] = []
        for branch, block in ((True, then), (False, otherwise)):
            taken = not condition.known or bool(condition.payload) == branch
            if taken or condition.switchable:
                outputs.append(self._read_block(block, values, guarded=guarded or not taken))
            else:
                outputs.append([JitValue()] * node.outputsSize())
        return join(condition, *outputs)

    def _read_subgraph(
        self, node: Node, inputs: list[JitValue], *, guarded: bool
    ) -> list[JitValue]:
        """Read the subgraph of a fork or a fused group; its calls are not inlined yet."""
        graph = node.g("Subgraph").copy()
        torch._C._jit_pass_inline(graph)  # noqa: SLF001 - there is no public name
        formals = [formal.debugName() for formal in graph.inputs()]
        self._read_block(graph, dict(zip(formals, inputs, strict=True)), guarded=guarded)
        return [JitValue()] * node.outputsSize()

    def _attribute(self, node: Node, owner: JitValue) -> JitValue:
        name = node.s("name")
        if name in self.written or not owner.known or not hasattr(owner.payload, name):
            return JitValue(origin=f"an attribute {name!r} that the code sets")
        payload = getattr(owner.payload, name)
        if isinstance(payload, torch.nn.Module):
            path = f"{owner.origin}.{name}".lstrip(".")
            return JitValue(known=True, payload=payload, fixed=True, origin=path)
        where = f"{owner.origin}.{name}".lstrip(".")
        return JitValue(
            known=True,
            payload=payload,
            fixed=True,
            switchable=name == "training",
            origin=f"the attribute {where}",
        )

    def _judge(self, node: Node, defect: Defect | None) -> None:
        """Count a node and report its defect, unless it was reported for an earlier method.

        A method that another one calls is inlined there, with its arguments bound. Read by itself,
        with unknown arguments, it would only give more undecided findings.
        """
        scope = _scope_of(node)
        kind = node.kind()
        inner = ".".join(filter(None, (self._owner, scope)))
        place = (inner, kind, str(node.sourceRange()))
        earlier = self._problems.get(place)
        problems = self._seen.setdefault(place, set())
        if earlier is None:
            self.operators += 1
        if defect is None:
            return
        problems.add(defect.problem)
        if earlier is not None and (defect.kind == "undecided" or defect.problem in earlier):
            return
        name = "/".join(filter(None, (self._method, scope, kind)))
        self.findings.append(defect.at(f"{name}_{self._names[name]}", kind))
        self._names[name] += 1


def _scope_of(node: Node) -> str:
    """Path of the module that a node was inlined from; torch writes ``a(Type).b(Type)``."""
    steps = re.sub(r"\([^()]*\)", "", node.getModuleHierarchy()).split(".")
    return ".".join(step for step in steps if step not in {"", "SELF", "UNKNOWN_INSTANCE"})


@cache
def _argument_names(schema: str) -> tuple[str, ...]:
    if schema == "(no schema)":
        return ()
    return tuple(argument.name for argument in parse_schema(schema).arguments)


def _constant(node: Node) -> JitValue:
    if node.mustBeNone():
        return NONE
    known = node.hasAttribute("value")
    payload = node.output().toIValue() if known else None
    return JitValue(known=known, payload=payload, fixed=True, origin="a constant")


def _scalar(value: JitValue) -> JitValue:
    """The value itself, or the element of a tensor that holds one."""
    if isinstance(value.payload, torch.Tensor) and value.payload.numel() == 1:
        return replace(value, payload=value.payload.item())
    return value
