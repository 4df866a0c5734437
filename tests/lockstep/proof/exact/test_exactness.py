"""The theorem read off graphs that are written down here, and off spoiled ones."""

import math
from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lockstep.proof.exact import exactness

WIDTH = 3


def graph(nodes, constants=(), *, width=WIDTH, output="y", inputs=(), opset=18, kind="FLOAT"):
    """A model of lines ``y = Op(a, b)`` with attributes, over float32 features ``x``."""
    made = [
        helper.make_node(operator, entering, leaving, name=leaving[0], **attributes)
        for leaving, operator, entering, attributes in map(_line, nodes)
    ]
    features = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])
    answer = helper.make_tensor_value_info(output, getattr(TensorProto, kind), None)
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in dict(constants).items()]
    made_graph = helper.make_graph(made, "g", [features, *inputs], [answer], tensors)
    return helper.make_model(made_graph, opset_imports=[helper.make_opsetid("", opset)])


def _line(line):
    line, attributes = line if isinstance(line, tuple) else (line, {})
    leaving, call = line.split(" = ")
    operator, _, entering = call.rstrip(")").partition("(")
    return leaving.split(", "), operator, entering.split(", "), attributes


CAST = ("wide = Cast(x)", {"to": TensorProto.DOUBLE})
GRID = [
    CAST,
    "absent = IsNaN(wide)",
    "there = Where(absent, zero, wide)",
    "whole = Round(there)",
    "inside = Clip(whole, least, most)",
]
END = ("y = Cast(answer)", {"to": TensorProto.FLOAT})
GEMM = [*GRID, "sums = Gemm(inside, weight, bias)", "rounded = Round(sums)"]
SIGNED = ["isnought = Equal(rounded, zero)", "answer = Where(isnought, zero, rounded)", END]
SETTLED = [*GEMM, *SIGNED]
SIDE_BY_SIDE = [
    *GRID,
    "columns = Transpose(inside)",
    "sums = Gemm(flipped, columns, upright)",
    "lines = Transpose(sums)",
    "rounded = Round(lines)",
    *SIGNED,
]
TRANSPOSING = [
    *GRID,
    ("sums = Gemm(weight, inside, upright)", {"transA": 1, "transB": 1}),
    "lines = Transpose(sums)",
    "rounded = Round(lines)",
    *SIGNED,
]
PRODUCTS = {"rows": SETTLED, "columns": SIDE_BY_SIDE, "transposing": TRANSPOSING}
every_product = pytest.mark.parametrize("nodes", PRODUCTS.values(), ids=PRODUCTS)


def constants(weight=((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)), bias=(0.5, 0.25), most=1000.0, **more):
    values = {"weight": weight, "bias": bias, "most": most, "least": -most, "zero": 0.0, **more}
    values |= {"flipped": np.transpose(weight), "upright": np.reshape(bias, (-1, 1))}
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


@every_product
def test_a_sum_of_bounded_whole_numbers_is_exact(nodes):
    found = exactness(graph(nodes, constants()))
    assert found.verdict == "exact", found.reason
    assert [each.operator for each in found.sums] == ["Gemm"]
    # Unit 1 sums up to 12,000 and 1/4 in quarters: 48,001 of 2^53.
    assert found.tightest.unit == 1
    assert found.tightest.spare_bits == pytest.approx(53 - np.log2(48_001), abs=1e-3)


@every_product
def test_the_unit_at_which_the_significand_overflows_is_named(nodes):
    weight = np.ones((3, 2))
    weight[:, 1] = 2.0**44
    weight[0, 1] += 1
    found = exactness(graph(nodes, constants(weight=weight)))
    assert (found.verdict, found.node, found.operator, found.unit) == ("broken", "sums", "Gemm", 1)
    assert "unit 1: its largest partial sum takes" in found.reason


numbers = st.builds(
    lambda digits, exponent: float(digits) * 2.0**exponent,
    st.integers(-(2**20), 2**20),
    st.integers(-30, 30),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(numbers, min_size=6, max_size=6),
    st.lists(numbers, min_size=2, max_size=2),
    st.integers(1, 2**22),
    st.sampled_from(sorted(PRODUCTS)),
)
def test_the_bound_is_that_of_whole_numbers_of_any_length(weights, biases, most, product):
    weight = np.array(weights).reshape(3, 2)
    known = constants(weight=weight, bias=biases, most=float(most))
    found = exactness(graph(PRODUCTS[product], known))
    holds = all(_steps([*weight[:, j]], biases[j], most) < 2**53 for j in range(2))
    assert found.verdict == ("exact" if holds else "broken"), found.reason


def _steps(weights, bias, most):
    """Largest partial sum of a unit in steps of the finest grid of its terms, by fractions."""
    terms = [*map(Fraction, weights), Fraction(bias)]
    denominator = max(term.denominator for term in terms)
    steps = [abs(term * denominator) for term in terms]
    common = math.gcd(*(int(step) for step in steps)) or 1
    grid = common & -common
    return (sum(steps[:-1]) * most + steps[-1]) / grid


@pytest.mark.parametrize(
    ("before", "after", "node", "reason"),
    [
        ("absent = IsNaN(wide)", "absent = IsNaN(other)", "inside", "may meet NaN"),
        ("whole = Round(there)", "whole = Identity(there)", "sums", "lies on no grid"),
        ("whole = Round(there)", "whole = Exp(there)", "whole", "is not among the operators"),
        ("whole = Round(there)", "whole = Tanh(there)", "whole", "is not among the operators"),
        ("inside = Clip(whole, least, most)", "inside = Identity(whole)", "sums", "has no bound"),
        ("inside = Clip(whole, least, most)", "inside = Max(whole, least)", "sums", "has no bound"),
        ("rounded = Round(sums)", "rounded = Mul(sums, third)", "rounded", "no power of two"),
        ("rounded = Round(sums)", "rounded = Div(sums, third)", "rounded", "divides a sum"),
        ("rounded = Round(sums)", "rounded = Add(sums, third)", "rounded", "rounds what is added"),
        ("rounded = Round(sums)", "rounded = Erf(sums)", "rounded", "is not among"),
        ("answer = Where(isnought, zero, rounded)", "answer = Abs(rounded)", None, None),
        ("answer = Where(isnought, zero, rounded)", "answer = Identity(rounded)", "y", "0 of eith"),
        ("answer = Where(isnought, zero, rounded)", "answer = Sqrt(rounded)", "answer", "negative"),
        ("answer = Where(isnought, zero, rounded)", "answer = Softmax(rounded)", "answer", "among"),
    ],
)
def test_a_node_that_is_changed_breaks_the_argument_there(before, after, node, reason):
    assert before in SETTLED
    nodes = [after if line == before else line for line in SETTLED]
    known = constants(third=1 / 3, other=np.zeros((1, 3)))
    found = exactness(graph(nodes, known))
    if node is None:
        assert found.verdict == "exact", found.reason
    else:
        assert (found.verdict, found.node) == ("broken", node)
        assert reason in found.reason


def test_float32_breaks_it_where_float64_would_not():
    narrow = [line for line in SETTLED if line not in (CAST, END)]
    narrow = ["wide = Identity(x)", *narrow, "y = Identity(answer)"]
    known = constants(weight=np.full((3, 2), 2.0**10 + 1), most=2.0**12)
    assert exactness(graph(SETTLED, known)).verdict == "exact"
    single = {name: value.astype(np.float32) for name, value in known.items()}
    found = exactness(graph(narrow, single))
    assert (found.verdict, found.node) == ("broken", "sums")
    assert "has 24" in found.reason


def test_a_product_that_was_rounded_is_not_added_to():
    """A processor with fused multiply-add would round once where others round twice."""
    fused = [*GRID[:3], "product = Mul(there, third)", "sum = Add(product, one)"]
    found = exactness(graph([*fused, "answer = Abs(sum)", END], constants(third=1 / 3, one=1.0)))
    assert (found.verdict, found.node) == ("broken", "sum")
    assert "fused multiply-add" in found.reason


def test_a_product_that_is_rounded_to_a_grid_may_be_added_to():
    apart = ["product = Mul(inside, third)", "steps = Round(product)", "answer = Add(steps, one)"]
    found = exactness(graph([*GRID, *apart, END], constants(third=1 / 3, one=1.0)))
    assert found.verdict == "exact", found.reason


def test_a_weight_that_a_caller_may_replace_is_no_constant():
    weight = helper.make_tensor_value_info("weight", TensorProto.DOUBLE, [3, 2])
    found = exactness(graph(SETTLED, constants(), inputs=[weight]))
    assert found.verdict == "broken"


CHOSEN = [*GRID[:3], "positive = Greater(there, zero)", "chosen = Where(positive, one, three)"]


@pytest.mark.parametrize(
    "product",
    [
        ["s = MatMul(chosen, weight)", "y0 = Identity(s)"],
        ["t = Transpose(chosen)", "s = MatMul(flipped, t)", "y0 = Transpose(s)"],
    ],
)
def test_products_finer_than_the_smallest_number_break_it(product):
    weight = np.full((3, 2), 2.0**-477)
    known = constants(weight=weight, one=2.0**-600, three=3 * 2.0**-600)
    found = exactness(graph([*CHOSEN, *product, "answer = Abs(y0)", END], known))
    assert (found.verdict, found.node) == ("broken", "s")
    assert "finer than the smallest number" in found.reason


def test_a_sum_of_float32_that_overflows_breaks_it():
    nodes = [
        "absent = IsNaN(x)",
        "there = Where(absent, zero, x)",
        "whole = Round(there)",
        "inside = Clip(whole, least, most)",
        "sums = MatMul(inside, weight)",
        "y = Abs(sums)",
    ]
    known = constants(weight=np.ldexp([[1.0], [1.0], [-1.0]], 124), most=8.0)
    found = exactness(graph(nodes, {name: np.float32(value) for name, value in known.items()}))
    assert (found.verdict, found.node) == ("broken", "sums")


def test_a_sum_that_is_scaled_out_of_range_and_back_breaks_it():
    scaled = ["sums = MatMul(inside, weight)", "far = Mul(sums, up)", "near = Mul(far, down)"]
    nodes = [*GRID, *scaled, "answer = Abs(near)", END]
    weight = np.full((3, 2), 2.0**500)
    for up, verdict in ((2.0**600, "broken"), (2.0**20, "exact")):
        known = constants(weight=weight, up=up, down=2.0**-520)
        found = exactness(graph(nodes, known))
        assert found.verdict == verdict, found.reason


CHOICES = ["Where(yes, made, zero)", "Max(made)", "Max(made, made)", "ReduceMax(made, last)"]
every_choice = pytest.mark.parametrize("choice", [*CHOICES, "Abs(made)"])
CHOOSING = {"yes": np.array([True]), "last": np.array([1])}


@every_choice
def test_a_choice_does_not_make_a_rounded_product_a_term(choice):
    added = ["made = Mul(there, third)", f"same = {choice}", "answer = Add(same, one)"]
    found = exactness(graph([*GRID, *added, END], constants(third=1 / 3, one=1.0) | CHOOSING))
    assert (found.verdict, found.node) == ("broken", "answer")
    assert "fused multiply-add" in found.reason


@every_choice
def test_a_choice_does_not_make_a_sum_what_may_be_multiplied(choice):
    chosen = ["made = MatMul(inside, weight)", f"same = {choice}", "answer = Mul(same, third)"]
    found = exactness(graph([*GRID, *chosen, END], constants(third=1 / 3) | CHOOSING))
    assert (found.verdict, found.node) == ("broken", "answer")
    assert "an optimiser may move the factor" in found.reason


def test_a_product_of_computed_matrices_is_refused():
    square = ["columns = Transpose(inside)", "crossed = MatMul(inside, columns)"]
    found = exactness(graph([*GRID, *square, "answer = Identity(crossed)", END], constants()))
    assert found.verdict == "broken"


def test_factors_of_a_gemm_are_refused():
    nodes = [
        (line, {"alpha": 0.3}) if line == "sums = Gemm(inside, weight, bias)" else line
        for line in SETTLED
    ]
    found = exactness(graph(nodes, constants()))
    assert (found.verdict, found.node) == ("broken", "sums")


def test_a_place_outside_its_table_breaks_it():
    looked = [("place = Cast(inside)", {"to": TensorProto.INT64}), "answer = Gather(table, place)"]
    table = np.linspace(1, 2, 11)
    for least, verdict in ((0.0, "exact"), (-1.0, "broken")):
        known = {**constants(most=10.0, table=table), "least": np.float64(least)}
        assert exactness(graph([*GRID, *looked, END], known)).verdict == verdict
    found = exactness(graph([*GRID, *looked, END], constants(most=11.0, table=table, least=0.0)))
    assert "its places lie between" in found.reason


def test_a_divisor_that_may_be_0_breaks_it():
    divided = ["answer = Div(one, inside)", END]
    known = constants(one=1.0)
    assert exactness(graph([*GRID, *divided], known)).node == "answer"
    known["least"] = np.float64(1)
    assert exactness(graph([*GRID, *divided], known)).verdict == "exact"


def test_a_number_that_may_be_subnormal_in_float32_breaks_it():
    scaled = ["answer = Mul(there, tiny)", END]
    found = exactness(graph([*GRID[:3], *scaled], constants(tiny=2.0**-140)))
    assert found.verdict == "broken"


def test_rows_that_meet_break_it():
    along = [*GRID, ("answer = ReduceSum(inside, first)", {"keepdims": 1}), END]
    known = {**constants(), "first": np.array([0])}
    found = exactness(graph(along, known))
    assert found.verdict == "broken"


def test_an_operator_of_another_domain_breaks_it():
    model = graph(SETTLED, constants())
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[3].domain = "com.microsoft"
    assert exactness(model).verdict == "broken"


def test_an_old_operator_set_is_not_read():
    assert "older than 13" in exactness(graph(SETTLED, constants(), opset=11)).reason


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-(2**52), 2**52), min_size=40, max_size=40), st.randoms())
def test_where_the_bound_holds_every_order_of_addition_gives_the_same_bits(terms, random):
    """The theorem itself, on numbers that use the whole room."""
    scaled = np.array(terms, np.float64)
    scaled = np.trunc(scaled * (2.0**52 / max(1.0, np.abs(scaled).sum())))
    orders = [random.sample(range(40), 40) for _ in range(8)]
    sums = {float(sum(scaled[order].tolist())) for order in orders}
    assert sums == {float(sum(int(term) for term in scaled))}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_found_exact_is_equal_to_the_bit_in_a_shuffled_order(seed):
    generator = np.random.default_rng(seed)
    finest = generator.integers(-20, 0, 2)
    weight = np.ldexp(generator.integers(-(2**24), 2**24, (3, 2)), finest)
    bias = np.ldexp(generator.integers(-(2**40), 2**40, 2), finest)
    known = constants(weight=weight, bias=bias, most=float(2**22))
    assert exactness(graph(SETTLED, known)).verdict == "exact"
    rows = generator.integers(-(2**22), 2**22, (50, 3)).astype(np.float64)
    answers = []
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        total = bias.copy()
        for i in order:
            total = total + rows[:, i : i + 1] * weight[i]
        answers.append(total.tobytes())
    assert len({*answers, (rows @ weight + bias).tobytes()}) == 1


def test_a_graph_that_nobody_put_together_rightly_is_broken_with_a_reason():
    model = graph(SETTLED, constants(weight=np.ones((5, 2))))
    found = exactness(model)
    assert (found.verdict, found.node) == ("broken", "sums")
    assert "not put together" in found.reason
    assert onnx.IR_VERSION
