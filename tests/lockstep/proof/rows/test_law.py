"""The law of row independence, held against brute force on random small graphs.

A recipe of numbers is cooked into a graph, node by node: a node that does not run at two batch
sizes is left out. The graph is then run, and what reading says is compared with what running shows.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from brute_force import dependence, session_of
from lockstep.proof.rows import row_independence

OPSET = 18
COOKED_AT = (3, 5)  # no length in the menu is 3 or 5, so nothing fits by chance
TO_THE_END = np.iinfo(np.int64).max
ELEMENT_TYPES = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL}


def model_of(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializer=list(initializers))
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


@dataclass
class Pot:
    """A graph that grows, with the values of its tensors at each batch size of COOKED_AT."""

    width: int
    nodes: list = field(default_factory=list)
    initializers: list = field(default_factory=list)
    values: dict = field(default_factory=dict)  # name -> one array for each batch size
    names: int = 0

    def __post_init__(self):
        rng = np.random.default_rng(0)
        self.values["x"] = [rng.standard_normal((b, self.width), np.float32) for b in COOKED_AT]

    def name(self):
        self.names += 1
        return f"t{self.names}"

    def constant(self, array):
        name = self.name()
        array = np.asarray(array)
        self.initializers.append(numpy_helper.from_array(array, name))
        self.values[name] = [array] * len(COOKED_AT)
        return name

    def add(self, op_type, *inputs, outputs=1, **attributes):
        """Add a node if it runs; returns its outputs, or None."""
        names = [self.name() for _ in range(outputs)]
        node = helper.make_node(op_type, inputs, names, **attributes)
        given = [name for name in dict.fromkeys(inputs) if name]
        described = [
            helper.make_tensor_value_info(n, ELEMENT_TYPES[self.values[n][0].dtype.kind], None)
            for n in given
        ]
        listed = [helper.make_empty_tensor_value_info(name) for name in names]
        try:
            session = session_of(model_of([node], described, listed))
            runs = [
                session.run(None, {name: self.values[name][k] for name in given})
                for k in range(len(COOKED_AT))
            ]
        except Exception:  # noqa: BLE001  whatever onnxruntime refuses is no graph
            return None
        if any(a.size > 5000 or a.size == 0 for run in runs for a in run):
            return None
        if any(not np.isfinite(a).all() for run in runs for a in run if a.dtype.kind == "f"):
            return None
        self.nodes.append(node)
        for k, name in enumerate(names):
            self.values[name] = [run[k] for run in runs]
        return names

    def pick(self, dice, kind="f"):
        names = [n for n, arrays in self.values.items() if arrays[0].dtype.kind == kind]
        computed = [n for n in names if n not in {t.name for t in self.initializers}]
        # Late tensors make deep graphs.
        return computed[-1 - min(dice.roll(len(computed)), dice.roll(len(computed)))]

    def rank(self, name):
        return self.values[name][0].ndim

    def nodes_behind(self, output):
        """The nodes that an output needs: what nobody reads must not make a graph fail."""
        needed, kept = {output}, []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed |= set(node.input)
                kept.insert(0, node)
        return kept

    def model(self, output):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", self.width])
        kind = ELEMENT_TYPES[self.values[output][0].dtype.kind]
        y = helper.make_tensor_value_info(output, kind, None)
        return model_of(self.nodes_behind(output), [x], [y], self.initializers)


class Dice:
    def __init__(self, numbers):
        self.numbers = list(numbers)
        self.at = 0

    def roll(self, sides):
        value = self.numbers[self.at % len(self.numbers)]
        self.at += 1
        return value % sides

    def choose(self, things):
        return things[self.roll(len(things))]


def random_array(dice, *shape):
    return np.random.default_rng(dice.roll(1000)).standard_normal(shape).astype(np.float32)


def constant_beside(pot, dice, name):
    """A constant of a shape that may stand beside a tensor: its own axes, some of length 1."""
    shape = [n if dice.roll(2) else 1 for n in pot.values[name][0].shape]
    return pot.constant(random_array(dice, *shape[dice.roll(len(shape) + 1) :]))


def unary(pot, dice):
    pot.add(dice.choose(["Neg", "Sigmoid", "Identity", "Tanh", "LeakyRelu"]), pot.pick(dice))


def binary(pot, dice):
    left = pot.pick(dice)
    right = constant_beside(pot, dice, left) if dice.roll(2) else pot.pick(dice)
    pair = (left, right) if dice.roll(2) else (right, left)
    if left != right:  # a tensor minus itself would hide what it depends on
        pot.add(dice.choose(["Add", "Sub", "Mul", "Max"]), *pair)


def where(pot, dice):
    left, right = pot.pick(dice), pot.pick(dice)
    found = pot.add("Greater", left, right)
    if found:
        pot.add("Where", found[0], left, right)


def matmul(pot, dice):
    left = pot.pick(dice)
    shape = pot.values[left][0].shape
    if dice.roll(3) == 0:
        pair = (left, pot.pick(dice))
    elif dice.roll(2) and len(shape) > 1:
        pair = (pot.constant(random_array(dice, 2, shape[-2])), left)
    else:
        stack = (shape[0],) if len(shape) > 2 and dice.roll(2) else ()
        pair = (left, pot.constant(random_array(dice, *stack, *shape[-1:], 4)))
    pot.add("MatMul", *pair)


def gemm(pot, dice):
    left = pot.pick(dice)
    shape = pot.values[left][0].shape
    flip = dice.roll(2)
    right = pot.constant(random_array(dice, shape[0 if flip else -1] if shape else 1, 4))
    pot.add("Gemm", left, right, transA=flip)


def einsum(pot, dice):
    equation = dice.choose(
        ["bi,bi->b", "bi,bj->bij", "bi,ci->bc", "bij,bjk->bik", "...i->...", "bi->ib",
         "bi,kij->bkj", "bij->bj", "ib,ib->i", "bki,kij->bkj", "b...,b...->b..."]
    )  # fmt: skip
    left = pot.pick(dice)
    if "," not in equation:
        pot.add("Einsum", left, equation=equation)
    elif "kij" in equation:
        pot.add(
            "Einsum", left, pot.constant(random_array(dice, 2, pot.width, 4)), equation=equation
        )
    else:
        pot.add("Einsum", left, left if dice.roll(2) else pot.pick(dice), equation=equation)


def transpose(pot, dice):
    name = pot.pick(dice)
    axes = list(range(pot.rank(name)))
    if axes:
        order = [axes.pop(dice.roll(len(axes))) for _ in range(len(axes))]
        pot.add("Transpose", name, perm=order)


def reshape(pot, dice):
    name = pot.pick(dice)
    rank = 1 + dice.roll(3)
    target = [dice.choose([0, 1, 2, 4, pot.width]) for _ in range(rank)]
    target[dice.roll(rank)] = -1
    pot.add("Reshape", name, pot.constant(np.array(target, np.int64)))


def axis_length(pot, dice, name):
    """The length of one axis, as a value that the graph computes."""
    start = dice.roll(max(pot.rank(name), 1))
    found = pot.add("Shape", name, start=start, end=start + 1)
    if found and dice.roll(4) == 0:
        factor = pot.constant(np.array([2], np.int64))
        return pot.add(dice.choose(["Mul", "Div", "Add"]), found[0], factor)
    return found


def computed_shape(pot, dice):
    parts = []
    for _ in range(1 + dice.roll(3)):
        if dice.roll(2):
            found = axis_length(pot, dice, pot.pick(dice))
            parts += found or []
        else:
            parts.append(pot.constant(np.array([dice.choose([1, 2, 4, -1])], np.int64)))
    return pot.add("Concat", *parts, axis=0) if parts else None


def reshape_to_computed(pot, dice):
    name, target = pot.pick(dice), computed_shape(pot, dice)
    if target:
        pot.add("Reshape", name, target[0])


def expand_to_computed(pot, dice):
    target = computed_shape(pot, dice)
    if target:
        source = pot.constant(random_array(dice, 1, 2)) if dice.roll(2) else pot.pick(dice)
        pot.add("Expand", source, target[0])


def fill_computed(pot, dice):
    target = computed_shape(pot, dice)
    if target:
        value = numpy_helper.from_array(np.array([1.5], np.float32))
        pot.add("ConstantOfShape", target[0], value=value)


def size_as_number(pot, dice):
    found = axis_length(pot, dice, pot.pick(dice))
    found = found and pot.add("Cast", found[0], to=TensorProto.FLOAT)
    if found:
        pot.add("Div", pot.pick(dice), found[0])


def positions(pot, dice):
    found = axis_length(pot, dice, pot.pick(dice))
    found = found and pot.add("Squeeze", found[0])
    zero, one = pot.constant(np.int64(0)), pot.constant(np.int64(1))
    found = found and pot.add("Range", zero, found[0], one)
    if found:
        pot.add("Cast", found[0], to=TensorProto.FLOAT)


def flatten(pot, dice):
    name = pot.pick(dice)
    pot.add("Flatten", name, axis=dice.roll(pot.rank(name) + 1))


def squeeze(pot, dice):
    name = pot.pick(dice)
    pot.add("Squeeze", name, pot.constant(np.array([dice.roll(max(pot.rank(name), 1))], np.int64)))


def unsqueeze(pot, dice):
    name = pot.pick(dice)
    pot.add("Unsqueeze", name, pot.constant(np.array([dice.roll(pot.rank(name) + 1)], np.int64)))


def reduction(pot, dice):
    name = pot.pick(dice)
    axes = pot.constant(np.array([dice.roll(max(pot.rank(name), 1))], np.int64))
    operator = dice.choose(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp"])
    pot.add(operator, name, *[axes][: dice.roll(8)], keepdims=dice.roll(2))


def along_axis(pot, dice):
    name = pot.pick(dice)
    axis = dice.roll(max(pot.rank(name), 1))
    operator = dice.choose(["Softmax", "LogSoftmax", "CumSum", "LpNormalization", "TopK"])
    if operator == "CumSum":
        pot.add("CumSum", name, pot.constant(np.int64(axis)))
    elif operator == "TopK":
        pot.add("TopK", name, pot.constant(np.array([2], np.int64)), outputs=2, axis=axis)
    else:
        pot.add(operator, name, axis=axis)


def normalization(pot, dice):
    name = pot.pick(dice)
    shape = pot.values[name][0].shape
    if len(shape) > 2 and dice.roll(2):
        ones = pot.constant(np.ones(shape[1], np.float32))
        pot.add("InstanceNormalization", name, ones, ones)
    elif shape and shape[-1] > 2:  # of one or two numbers, hardly anything is left
        pot.add("LayerNormalization", name, pot.constant(np.ones(shape[-1:], np.float32)), axis=-1)


def concat(pot, dice):
    name = pot.pick(dice)
    other = constant_beside(pot, dice, name) if dice.roll(4) == 0 else pot.pick(dice)
    pot.add("Concat", name, other, axis=dice.roll(max(pot.rank(name), 1)))


def split(pot, dice):
    name = pot.pick(dice)
    pot.add("Split", name, outputs=2, axis=dice.roll(max(pot.rank(name), 1)), num_outputs=2)


def slice_(pot, dice):
    name = pot.pick(dice)
    axis = pot.constant(np.array([dice.roll(max(pot.rank(name), 1))], np.int64))
    start, end, step = dice.choose(
        [(0, TO_THE_END, 1), (0, 1, 1), (1, TO_THE_END, 1), (0, -1, 1), (-1, -TO_THE_END, -1),
         (0, TO_THE_END, 2), (-1, TO_THE_END, 1)]
    )  # fmt: skip
    bounds = [pot.constant(np.array([n], np.int64)) for n in (start, end)]
    if dice.roll(4) == 0:
        bounds[1] = (axis_length(pot, dice, pot.pick(dice)) or bounds[1:])[0]
    pot.add("Slice", name, *bounds, axis, pot.constant(np.array([step], np.int64)))


def gather(pot, dice):
    name = pot.pick(dice)
    index = pot.constant(np.array(dice.choose([0, [0], [1, 0], [[0, 1]]]), np.int64))
    pot.add("Gather", name, index, axis=dice.roll(max(pot.rank(name), 1)))


def embed(pot, dice):
    name = pot.pick(dice)
    axis = dice.roll(max(pot.rank(name), 1))
    index = pot.add("ArgMax", name, axis=axis, keepdims=dice.roll(2))
    if index is None:
        return
    how = dice.roll(4)
    if how == 0:
        pot.add("Gather", pot.constant(random_array(dice, 32, 2)), index[0], axis=dice.roll(2))
    elif how == 1:
        pot.add("GatherElements", pot.pick(dice), index[0], axis=axis)
    elif how == 2:
        values = pot.constant(np.array([0, 1], np.float32))
        pot.add("OneHot", index[0], pot.constant(np.int64(4)), values, axis=-1)
    else:
        pot.add("GatherND", pot.pick(dice), index[0], batch_dims=dice.roll(2))


def tile(pot, dice):
    name = pot.pick(dice)
    times = [dice.choose([1, 1, 2]) for _ in range(pot.rank(name))]
    pot.add("Tile", name, pot.constant(np.array(times, np.int64)))


def pad(pot, dice):
    name = pot.pick(dice)
    borders = [dice.choose([0, 0, 0, 1]) for _ in range(2 * pot.rank(name))]
    pot.add("Pad", name, pot.constant(np.array(borders, np.int64)))


def scatter(pot, dice):
    name = pot.pick(dice)
    index = pot.constant(np.array([[0], [1]], np.int64))
    updates = pot.add("Gather", pot.pick(dice), pot.constant(np.array([1, 0], np.int64)))
    if updates:
        pot.add("ScatterND", name, index, updates[0])


def triangle(pot, dice):
    pot.add("Trilu", pot.pick(dice))


def convolution(pot, dice):
    name = pot.pick(dice)
    shape = pot.values[name][0].shape
    if len(shape) == 3:
        kernel = pot.constant(random_array(dice, 2, shape[1], 2))
        pot.add("Conv", name, kernel)
        pot.add(dice.choose(["GlobalAveragePool", "GlobalMaxPool"]), name)


MENU = [
    unary, binary, binary, where, matmul, gemm, einsum, transpose, transpose, reshape, reshape,
    reshape_to_computed, expand_to_computed, fill_computed, size_as_number, positions, flatten,
    squeeze, unsqueeze, reduction, reduction, along_axis, normalization, concat, concat, split,
    slice_, slice_, gather, embed, tile, pad, scatter, triangle, convolution,
]  # fmt: skip
STEP = st.tuples(st.sampled_from(MENU), st.lists(st.integers(0, 999), min_size=8, max_size=8))
RECIPE = st.tuples(st.sampled_from([2, 4]), st.lists(STEP, min_size=2, max_size=8))


def cook(recipe):
    width, steps = recipe
    pot = Pot(width)
    for step, numbers in steps:
        step(pot, Dice(numbers))
    return pot


def judge(recipe):
    pot = cook(recipe)
    output = pot.nodes[-1].output[0] if pot.nodes else None
    if output is None:
        return None
    model = pot.model(output)
    try:
        session = session_of(model)
    except Exception:  # noqa: BLE001  onnxruntime sees that two shapes can never fit
        return None
    (verdict,) = row_independence(model)
    return model, verdict, dependence(session, pot.width)


def sample(menu, *, seed, graphs, longest=8):
    """Judge graphs of a menu that no search has chosen."""
    rng = np.random.default_rng(seed)
    for _ in range(graphs):
        steps = [
            (menu[rng.integers(len(menu))], rng.integers(1000, size=8).tolist())
            for _ in range(rng.integers(2, longest + 1))
        ]
        judged = judge((int(rng.choice([2, 4])), steps))
        if judged is not None:
            yield judged


def text(model):
    return onnx.printer.to_text(model)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(RECIPE)
def test_what_is_called_independent_is_independent_when_it_runs(recipe):
    judged = judge(recipe)
    assume(judged is not None)
    model, verdict, shown = judged
    assert verdict.verdict != "independent" or shown is None, (shown, text(model))


# Rows are cut, moved and joined, so that they lie inside, outside and across the axes.
LAYOUT_MENU = [
    reshape, reshape, reshape_to_computed, reshape_to_computed, transpose, transpose, unsqueeze,
    flatten, tile, concat, split, slice_, unary, binary, matmul, reduction, expand_to_computed,
]  # fmt: skip


@pytest.mark.slow
def test_rows_are_found_again_wherever_reshapes_and_transposes_put_them():
    found = 0
    for model, verdict, shown in sample(LAYOUT_MENU, seed=3, graphs=300, longest=10):
        assert verdict.verdict != "independent" or shown is None, (shown, text(model))
        found += verdict.verdict == "independent"
    assert found > 30


@pytest.mark.slow
def test_what_is_called_mixing_mixes_when_it_runs_unless_a_later_operator_undoes_it():
    called, undone = 0, []
    for model, verdict, shown in sample(MENU, seed=4, graphs=400):
        called += verdict.verdict == "mixing"
        if verdict.verdict == "mixing" and shown is None:
            undone.append(text(model))
    # Such as the largest of a mixed value and a larger own one, or two halves joined again.
    assert called > 150
    assert len(undone) <= 0.01 * called, "\n".join(undone)


PLAIN_MENU = [
    unary, binary, where, gemm, matmul, along_axis, reduction, normalization, concat, split, gather,
    unsqueeze, transpose, pad, tile, flatten,
]  # fmt: skip


@pytest.mark.slow
def test_graphs_of_plain_operators_are_always_decided():
    reasons = Counter(
        verdict.reason
        for _, verdict, _ in sample(PLAIN_MENU, seed=5, graphs=250)
        if verdict.verdict == "undecided"
    )
    assert not reasons
