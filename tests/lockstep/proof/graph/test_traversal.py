"""One traversal under three readers: what lies in a file and can run is met, by each of them."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from corpus import ONNX_CASES
from lockstep.proof.audit.onnx import audit_onnx
from lockstep.proof.audit.onnx_reader import ModeReader
from lockstep.proof.exact import exactness
from lockstep.proof.exact.reader import BrokenAt, ExactReader
from lockstep.proof.graph.traversal import NODES_LIMIT, Traversal
from lockstep.proof.rows import row_independence
from lockstep.proof.rows.binding import key_of, renewed
from lockstep.proof.rows.fact import Tensor
from lockstep.proof.rows.number import UnknownNumber
from lockstep.proof.rows.reader import RowReader
from planting import (
    HIDDEN,
    NESTING_NAMES,
    Around,
    batch_norm,
    carried_flag,
    chain,
    chosen_flag,
    computed_flag,
    doubling_functions,
    dropout,
    model_with,
    noise,
    planted,
    tensor,
)


def met_by(kind, model: ModelProto) -> tuple[list[bytes], bool]:
    """The nodes that a reader meets, each once, in order; and whether it reads to the end."""

    class Noting(kind):
        def meet(self, site) -> None:
            nodes.setdefault(site.node.SerializeToString(deterministic=True))
            super().meet(site)

    nodes: dict[bytes, None] = {}
    try:
        Traversal(model, Noting()).outputs()
    except BrokenAt:
        return list(nodes), False
    return list(nodes), True


def nodes_in(message) -> set[bytes]:
    """Every node that lies in a message, however deep, found without knowing what a graph is."""
    found = set()
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in [value] if hasattr(value, "ListFields") else value:
            found |= nodes_in(each)
    if isinstance(message, NodeProto):
        found.add(message.SerializeToString(deterministic=True))
    return found


def check_that_all_meet_the_same(model: ModelProto) -> None:
    by_mode, _ = met_by(ModeReader, model)
    by_rows, _ = met_by(RowReader, model)
    by_exact, whole = met_by(ExactReader, model)
    assert set(by_mode) == nodes_in(model)
    assert by_rows == by_mode
    assert by_exact == (by_mode if whole else by_mode[: len(by_exact)])


@pytest.mark.slow
@pytest.mark.parametrize("each", ONNX_CASES, ids=str)
def test_in_every_file_of_the_corpus_all_readers_meet_every_node(each):
    check_that_all_meet_the_same(onnx.load_from_string(each.read()))


FRAGMENTS = {
    "dropout": dropout("yes"),
    "batch norm": batch_norm(),
    "noise": noise("RandomNormalLike"),
    "chosen": chosen_flag("yes"),
    "computed": computed_flag,
    "carried": carried_flag,
}


@settings(max_examples=60, deadline=None)
@given(
    fragments=st.lists(st.sampled_from(sorted(FRAGMENTS)), min_size=1, max_size=3, unique=True),
    nestings=st.lists(st.sampled_from(NESTING_NAMES), max_size=5),
)
def test_however_nodes_are_nested_all_readers_meet_every_one(fragments, nestings):
    nested = planted(chain(*(FRAGMENTS[name] for name in fragments)), nestings)
    check_that_all_meet_the_same(onnx.load_from_string(nested))


SUITE_IN_TRAINING = re.compile(
    "test_(training_dropout|batchnorm|bernoulli|adagrad|adam|momentum|nesterov_momentum)"
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # the suite's own casts
def test_no_reader_stumbles_over_a_graph_of_onnx_itself():
    """The operator suite of the standard: what trains or draws is found in it, and nothing else."""
    suite = {each.name: each.model for each in collect_testcases(None)}
    assert len(suite) > 1500
    found = set()
    for name, model in suite.items():
        found |= {name} if audit_onnx(model).findings else set()
        assert len(row_independence(model)) == len(model.graph.output)
        assert exactness(model).reason
        check_that_all_meet_the_same(model)
    assert found == {name for name in suite if SUITE_IN_TRAINING.match(name)}


@pytest.mark.parametrize("reader", [ModeReader, RowReader])
def test_functions_that_double_are_read_once(reader):
    traversal = Traversal(doubling_functions(60), reader())
    traversal.outputs()
    assert traversal.operators < 1000 < NODES_LIMIT


def test_rows_stay_apart_through_functions_that_double():
    (verdict,) = row_independence(doubling_functions(60))
    assert verdict.verdict == "independent", verdict


def test_a_function_that_is_called_twice_mixes_rows_at_each_call():
    model = onnx.parser.parse_model("""
    <ir_version: 9, opset_import: ["" : 18, "own" : 1]>
    g (float[batch, 4] x) => (float[m, n] one, float[m, n] two) {
        one = own.along (x)
        two = own.along (x)
    }
    <domain: "own", opset_import: ["" : 18]>
    along (v) => (w) {w = Softmax <axis: int = 0> (v)}
    """)
    found = [verdict.node for verdict in row_independence(model)]
    assert found == ["main/along_0.along/Softmax_0", "main/along_1.along/Softmax_0"]


def test_the_unknown_numbers_of_a_second_call_are_others_but_for_those_that_came_in():
    inside, given = UnknownNumber(follows=False), UnknownNumber(follows=False)
    whole = np.array([inside, given, 3], dtype=object)
    (tensor,) = renewed([Tensor((3, inside, given), None, whole)], [Tensor((given,))])
    assert tensor.dims[0] == 3
    assert tensor.dims[1] is not inside
    assert tensor.dims[2] is given
    assert [*tensor.elements] == [tensor.dims[1], given, 3]


def test_two_unknown_numbers_bind_a_function_in_two_ways():
    one, other = (Tensor((UnknownNumber(follows=False),)) for _ in range(2))
    assert key_of(one) != key_of(other)
    assert key_of(one) == key_of(Tensor(one.dims))


def test_an_operator_of_another_domain_does_not_choose_between_its_graphs():
    """Two graphs that are called as the branches of an If are: what they are for is not known."""

    def nodes(x, y, p):
        flag = helper.make_tensor_value_info("off", TensorProto.BOOL, [])
        same = [helper.make_node("Identity", ["no"], ["off"])]
        either = helper.make_node(
            "Either",
            ["yes"],
            ["flag"],
            domain="acme",
            then_branch=helper.make_graph(same, "then", [], [flag]),
            else_branch=helper.make_graph(same, "else", [], [flag]),
        )
        return [either, *dropout("flag")(x, y, p)]

    report = audit_onnx(model_with(nodes, Around(domains={"acme": 1})))
    assert report.verdict == "undecided"


def test_a_weight_of_an_old_file_is_a_constant_though_it_is_listed_as_an_input():
    """Below version 4 of the format every initializer had to be; no caller can replace it."""
    steps = helper.make_tensor_value_info("steps", TensorProto.DOUBLE, [1])
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE),
                helper.make_node("Greater", ["wide", "steps"], ["above"]),
                helper.make_node("Where", ["above", "steps", "others"], ["y"]),
            ],
            "g",
            [tensor("x", HIDDEN), steps],
            [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["batch", HIDDEN])],
            [
                numpy_helper.from_array(np.array([v]), k)
                for k, v in (("steps", 1.5), ("others", 3.0))
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.ir_version = 3
    assert exactness(model).verdict == "exact", exactness(model).reason
    model.ir_version = 10
    assert exactness(model).verdict == "broken"


def test_an_input_that_a_call_leaves_out_is_left_out_in_the_branches_inside():
    model = onnx.parser.parse_model("""
    <ir_version: 9, opset_import: ["" : 18, "own" : 1]>
    g (float[batch, 4] x) => (float[m, n] y) {y = own.clipped (x)}
    <domain: "own", opset_import: ["" : 18]>
    clipped (v, low) => (w) {
        c = Constant <value = bool {1}> ()
        w = If (c) <then_branch = t () => (a) {a = Clip (v, low)},
                    else_branch = e () => (b) {b = Relu (v)}>
    }
    """)
    (verdict,) = row_independence(model)
    assert verdict.verdict == "independent", verdict
