"""Fragments of ONNX graphs to plant in a small network, and what to wrap them in.

A fragment writes nodes that take one hidden tensor [batch, 8] to another; :func:`model_with` puts
it between the hidden layer and the head of a network that takes ``features`` [batch, 6] to
``probabilities`` [batch, 3].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

FEATURES = 6
HIDDEN = 8
CLASSES = 3

Nodes = Callable[[str, str, str], list[NodeProto]]  # (input, output, prefix of names) → nodes
"""Writes nodes that take one hidden tensor [batch, 8] to another."""

# Tensors of the file that a fragment may name; inside a function they are formal inputs.
_CONSTANTS: dict[str, np.ndarray] = {
    "yes": np.array(True),
    "no": np.array(False),
    "ratio": np.array(0.5, np.float32),
    "trips": np.array(1, np.int64),
    "slices": np.zeros(1, np.float32),
    "scale": np.linspace(0.5, 1.5, HIDDEN, dtype=np.float32),
    "bias": np.linspace(-1, 1, HIDDEN, dtype=np.float32),
    "mean": np.linspace(-2, 2, HIDDEN, dtype=np.float32),
    "var": np.linspace(0.5, 3, HIDDEN, dtype=np.float32),
}


@dataclass
class Around:
    """What a file needs beside the nodes of a fragment."""

    opset: int = 18
    functions: list[onnx.FunctionProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    sparse: list[onnx.SparseTensorProto] = field(default_factory=list)
    domains: dict[str, int] = field(default_factory=dict)


def model_with(fragment: Nodes, around: Around | None = None) -> ModelProto:
    """A servable network with a fragment between its hidden layer and its head."""
    around = around or Around()
    generator = np.random.default_rng(3)
    weights = {
        "w1": generator.normal(size=(FEATURES, HIDDEN)).astype(np.float32),
        "b1": generator.normal(size=HIDDEN).astype(np.float32),
        "w2": generator.normal(size=(HIDDEN, CLASSES)).astype(np.float32),
        "b2": generator.normal(size=CLASSES).astype(np.float32),
    }
    broadcast = {"broadcast": 1} if around.opset < 7 else {}
    nodes = [
        helper.make_node("Gemm", ["features", "w1", "b1"], ["hidden"], "first", **broadcast),
        *fragment("hidden", "planted", "p"),
        helper.make_node("Gemm", ["planted", "w2", "b2"], ["logits"], "head", **broadcast),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [tensor("features", FEATURES), *around.inputs],
        [tensor("probabilities", CLASSES)],
        [numpy_helper.from_array(v, k) for k, v in (weights | _CONSTANTS).items()]
        + around.initializers,
        sparse_initializer=around.sparse,
    )
    domains = {"": around.opset} | around.domains
    return helper.make_model(
        graph,
        ir_version=10,
        functions=around.functions,
        opset_imports=[helper.make_opsetid(*each) for each in domains.items()],
    )


def tensor(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])


def dropout(flag: str | None, opset: int = 18, **attributes: int) -> Nodes:
    """A Dropout whose training mode, from opset 12 on, is the tensor of that name."""
    inputs = ["ratio", flag] if opset >= 12 and flag else []
    return lambda x, y, p: [
        helper.make_node("Dropout", [x, *inputs], [y], f"{p}_dropout", **attributes)
    ]


def batch_norm(outputs: int = 1, mean: str = "mean", **attributes: object) -> Nodes:
    """A BatchNormalization with the file's own statistics and that many outputs."""
    return lambda x, y, p: [
        helper.make_node(
            "BatchNormalization",
            [x, "scale", "bias", mean, "var"],
            [y, *(f"{p}_extra_{index}" for index in range(outputs - 1))],
            f"{p}_batch_norm",
            **attributes,
        )
    ]


def chain(*fragments: Nodes) -> Nodes:
    """One fragment after the other."""

    def nodes(x: str, y: str, p: str) -> list[NodeProto]:
        names = [x, *(f"{p}_between_{index}" for index in range(len(fragments) - 1)), y]
        return [
            node
            for index, fragment in enumerate(fragments)
            for node in fragment(names[index], names[index + 1], f"{p}{index}")
        ]

    return nodes


def aside(fragment: Nodes) -> Nodes:
    """Nodes whose output nobody uses."""
    return lambda x, y, p: [
        *fragment(x, f"{p}_unused", p),
        helper.make_node("Identity", [x], [y], f"{p}_past"),
    ]


def flag_node(name: str, operator: str, inputs: Sequence[str], **attributes: object) -> Nodes:
    """Passes the tensor through, and computes a flag of that name beside it."""
    return lambda x, y, p: [
        helper.make_node(operator, list(inputs), [name], f"{p}_flag", **attributes),
        helper.make_node("Identity", [x], [y], f"{p}_past"),
    ]


def behind_identities(source: str, name: str, depth: int) -> Nodes:
    """Passes the tensor through; the flag of that name is a chain of Identity nodes."""
    names = [source, *(f"{name}_{index}" for index in range(depth - 1)), name]
    return chain(*(flag_node(after, "Identity", [before]) for before, after in pairwise(names)))


def _subgraph(
    name: str,
    inputs: Sequence[onnx.ValueInfoProto],
    nodes: list[NodeProto],
    *outputs: onnx.ValueInfoProto,
) -> GraphProto:
    return helper.make_graph(nodes, name, list(inputs), list(outputs))


def in_if(fragment: Nodes, condition: str = "yes") -> Nodes:
    """The fragment in the first branch of an If, and nothing in the second."""

    def nodes(x: str, y: str, p: str) -> list[NodeProto]:
        then, other = f"{p}_then", f"{p}_else"
        past = helper.make_node("Identity", [x], [other], f"{p}_past")
        return [
            helper.make_node(
                "If",
                [condition],
                [y],
                f"{p}_if",
                then_branch=_subgraph("then", [], fragment(x, then, f"{p}t"), tensor(then, HIDDEN)),
                else_branch=_subgraph("else", [], [past], tensor(other, HIDDEN)),
            )
        ]

    return nodes


def in_loop(fragment: Nodes) -> Nodes:
    """The fragment in the body of a Loop that runs once."""

    def nodes(x: str, y: str, p: str) -> list[NodeProto]:
        step = helper.make_tensor_value_info(f"{p}_step", TensorProto.INT64, [])
        go, on = (
            helper.make_tensor_value_info(f"{p}_{name}", TensorProto.BOOL, [])
            for name in ("go", "on")
        )
        before, after = tensor(f"{p}_before", HIDDEN), tensor(f"{p}_after", HIDDEN)
        inner = [
            helper.make_node("Identity", [go.name], [on.name], f"{p}_keep"),
            *fragment(before.name, after.name, f"{p}l"),
        ]
        body = _subgraph("body", [step, go, before], inner, on, after)
        return [helper.make_node("Loop", ["trips", "yes", x], [y], f"{p}_loop", body=body)]

    return nodes


def in_scan(fragment: Nodes) -> Nodes:
    """The fragment in the body of a Scan of one step, on its state."""

    def nodes(x: str, y: str, p: str) -> list[NodeProto]:
        slice_ = helper.make_tensor_value_info(f"{p}_slice", TensorProto.FLOAT, [])
        before, after = tensor(f"{p}_before", HIDDEN), tensor(f"{p}_after", HIDDEN)
        inner = fragment(before.name, after.name, f"{p}s")
        body = _subgraph("body", [before, slice_], inner, after)
        return [
            helper.make_node("Scan", [x, "slices"], [y], f"{p}_scan", body=body, num_scan_inputs=1)
        ]

    return nodes


def in_function(fragment: Nodes, around: Around, *bound: str) -> Nodes:
    """The fragment as the body of a function; each name in ``bound`` is one more formal input."""
    formals = [*_CONSTANTS, *bound]

    def nodes(x: str, y: str, p: str) -> list[NodeProto]:
        around.domains["local"] = 1
        around.functions.append(
            helper.make_function(
                "local",
                f"{p}_Block",
                ["x", *formals],
                ["y"],
                fragment("x", "y", f"{p}f"),
                [helper.make_opsetid("", around.opset), helper.make_opsetid("local", 1)],
            )
        )
        return [helper.make_node(f"{p}_Block", [x, *formals], [y], f"{p}_call", domain="local")]

    return nodes


def noise(operator: str, **attributes: object) -> Nodes:
    """Adds what a random operator draws to the tensor."""

    def nodes(x: str, y: str, p: str) -> list[NodeProto]:
        share, drawn, noise = (f"{p}_{name}" for name in ("share", "drawn", "noise"))
        shaped = operator in {"RandomNormal", "RandomUniform"}
        return [
            helper.make_node("Sigmoid", [x], [share], f"{p}_share"),
            helper.make_node(
                operator, [] if shaped else [share], [drawn], f"{p}_random", **attributes
            ),
            helper.make_node("Cast", [drawn], [noise], f"{p}_cast", to=TensorProto.FLOAT),
            helper.make_node("Add", [x, noise], [y], f"{p}_add"),
        ]

    return nodes


def carried_flag(x: str, y: str, p: str) -> list[NodeProto]:
    """A Loop that carries the flag of the Dropout in its body from step to step."""
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    names = ("go", "on", "flag", "next_flag")
    go, on, flag, next_flag = (
        helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in names
    )
    before, after = tensor("before", HIDDEN), tensor("after", HIDDEN)
    inner = [
        helper.make_node("Identity", ["go"], ["on"]),
        *dropout("flag")("before", "after", p),
        helper.make_node("Not", ["flag"], ["next_flag"]),
    ]
    body = _subgraph("body", [step, go, flag, before], inner, on, next_flag, after)
    return [helper.make_node("Loop", ["trips", "yes", "no", x], ["last", y], "loop", body=body)]


def chosen_flag(condition: str) -> Nodes:
    """A Dropout whose flag is the output of an If: true in the first branch, else false."""

    def nodes(x: str, y: str, p: str) -> list[NodeProto]:
        flags = [
            helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("on", "off")
        ]
        branches = [
            _subgraph(flag.name, [], [helper.make_node("Identity", [source], [flag.name])], flag)
            for flag, source in zip(flags, ("yes", "no"), strict=True)
        ]
        choice = helper.make_node(
            "If",
            [condition],
            ["chosen"],
            "choice",
            then_branch=branches[0],
            else_branch=branches[1],
        )
        return [choice, *dropout("chosen")(x, y, p)]

    return nodes


def computed_flag(x: str, y: str, p: str) -> list[NodeProto]:
    """A Dropout that is on when the batch has more than four rows."""
    return [
        helper.make_node("Size", [x], ["size"]),
        helper.make_node("Constant", [], ["limit"], value_int=4 * HIDDEN),
        helper.make_node("Greater", ["size", "limit"], ["many"]),
        *dropout("many")(x, y, p),
    ]


def batch_statistics(x: str, y: str, p: str) -> list[NodeProto]:
    """A BatchNormalization in inference mode whose statistics are those of the batch."""
    return [
        helper.make_node("Constant", [], ["rows"], value_ints=[0]),
        helper.make_node("ReduceMean", [x, "rows"], ["batch_mean"], keepdims=0),
        helper.make_node("Sub", [x, "batch_mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "rows"], ["batch_var"], keepdims=0),
        helper.make_node(
            "BatchNormalization",
            [x, "scale", "bias", "batch_mean", "batch_var"],
            [y],
            f"{p}_batch_norm",
        ),
    ]


def microsoft(operator: str, inputs: Sequence[str]) -> Nodes:
    """A fused operator of onnxruntime's own domain."""
    return lambda x, y, p: [
        helper.make_node(operator, [x, *inputs], [y], f"{p}_fused", domain="com.microsoft")
    ]


_NESTINGS: dict[str, Callable[[Nodes, Around], Nodes]] = {
    "if": lambda fragment, _: in_if(fragment),
    "loop": lambda fragment, _: in_loop(fragment),
    "scan": lambda fragment, _: in_scan(fragment),
    "function": in_function,
    "function-in-function": lambda fragment, around: in_function(
        in_function(fragment, around), around
    ),
    "if-in-function": lambda fragment, around: in_function(in_if(fragment), around),
    "function-in-loop": lambda fragment, around: in_loop(in_function(fragment, around)),
}


def planted(fragment: Nodes, nestings: Sequence[str], opset: int = 18) -> bytes:
    """A network with a fragment inside subgraphs and functions; the first is the innermost."""
    around = Around(opset=opset)
    for nesting in nestings:
        fragment = _NESTINGS[nesting](fragment, around)
    return model_with(fragment, around).SerializeToString()


def doubling_functions(levels: int, opset: int = 18) -> ModelProto:
    """Each function calls the next one twice: 2^levels nodes when spelled out."""
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    functions = []
    for level in range(levels):
        callee, domain = (f"F{level + 1}", "local") if level + 1 < levels else ("Relu", "")
        nodes = [
            helper.make_node(callee, ["a"], ["m"], domain=domain),
            helper.make_node(callee, ["m"], ["b"], domain=domain),
        ]
        functions.append(helper.make_function("local", f"F{level}", ["a"], ["b"], nodes, opsets))
    return model_with(
        lambda x, y, _: [helper.make_node("F0", [x], [y], domain="local")],
        Around(functions=functions, domains={"local": 1}),
    )


NESTING_NAMES = tuple(_NESTINGS)
