from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from corpus import ONNX_CASES, RUNS, Case, case, sample_rows
from lockstep.errors import Unreadable
from lockstep.proof.audit.onnx import audit_onnx, read_onnx
from lockstep.proof.graph import traversal
from planting import (
    HIDDEN,
    NESTING_NAMES,
    Around,
    aside,
    batch_norm,
    behind_identities,
    chain,
    doubling_functions,
    dropout,
    in_function,
    model_with,
    planted,
    tensor,
)


def audit(data: bytes):
    return audit_onnx(read_onnx(data, source="model.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("each", ONNX_CASES, ids=str)
def test_every_form_of_training_mode_is_found_and_no_good_file_is_refused(each: Case):
    report = audit(each.read())
    assert report.verdict == each.verdict, report.findings
    assert report.operators >= 2
    for finding in report.findings:
        assert finding.node
        assert finding.problem
        assert finding.advice.endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("each", [each for each in ONNX_CASES if each.servable], ids=str)
def test_the_corpus_behaves_as_it_says(each: Case):
    answer = open_unoptimised(each.read())
    rows = sample_rows()
    together = answer(rows)
    assert together.shape == (len(rows), 3)
    repeatable = all(np.array_equal(together, answer(rows)) for _ in range(RUNS))
    assert repeatable != each.random
    if repeatable:
        alone = np.concatenate([answer(rows[:2]), answer(rows[2:])])
        assert np.allclose(alone, together, atol=1e-5) != each.mixes_rows


def open_unoptimised(data: bytes):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(["probabilities"], {"features": rows})[0]


@pytest.mark.parametrize(
    ("name", "node", "problem"),
    [
        ("dynamo-train", "main/node_native_dropout__1", "drops values at random"),
        ("legacy-training-opset-17", "main/norm/BatchNormalization", "statistics|mean"),
        ("dropout-in-if", "main/p_if.then_branch/pt_dropout", "drops values at random"),
        ("dropout-in-function", "main/p_call.p_Block/pf_dropout", "drops values at random"),
        ("dropout-flag-is-input", "main/p_dropout", "the graph input 'flag'"),
        ("dropout-flag-behind-input", "main/p1_dropout", "the graph input 'given'"),
        ("dropout-flag-carried", "main/loop.body/p_dropout", "variable of a loop"),
        ("dropout-overridable-false", "main/p_dropout", "a caller may set it"),
        ("dropout-opset-6", "main/p_dropout", "is_test is not 1"),
        ("batch-norm-opset-9", "main/p_batch_norm", "more outputs than one"),
        ("batch-norm-of-batch-statistics", "main/p_batch_norm", "from the batch it is given"),
    ],
)
def test_a_finding_names_the_node_and_says_what_is_wrong(name, node, problem):
    finding = audit(case(name).read()).findings[0]
    assert finding.node == node
    assert any(words in finding.problem for words in problem.split("|"))


def test_a_node_without_a_name_is_named_by_its_operator_and_place():
    model = model_with(dropout("yes"))
    for node in model.graph.node:
        node.name = ""
    assert audit_onnx(model).findings[0].node == "main/Dropout_1"


PLANTS = {
    "dropout": lambda _: dropout("flag"),
    "batch_norm": lambda training: batch_norm(3 if training else 1, training_mode=int(training)),
    "old_dropout": lambda training: dropout(None, 6, is_test=int(not training)),
    "old_batch_norm": lambda training: batch_norm(5 if training else 1),
}
OPSETS = {"dropout": 18, "batch_norm": 15, "old_dropout": 6, "old_batch_norm": 9}


@settings(max_examples=150, deadline=None)
@given(
    plant=st.sampled_from(sorted(PLANTS)),
    training=st.booleans(),
    nestings=st.lists(st.sampled_from(NESTING_NAMES), max_size=4),
    identities=st.integers(min_value=1, max_value=6),
    unused=st.booleans(),
)
def test_training_mode_is_found_however_it_is_wrapped(
    plant, training, nestings, identities, unused
):
    fragment = PLANTS[plant](training)
    if plant == "dropout":
        flag = behind_identities("yes" if training else "no", "flag", identities)
        fragment = chain(flag, fragment)
    fragment = aside(fragment) if unused else fragment
    report = audit_onnx(onnx.load_from_string(planted(fragment, nestings, OPSETS[plant])))
    assert report.verdict == ("training" if training else "clean")
    assert len(report.findings) == int(training)


def test_a_function_is_judged_for_each_way_it_is_bound():
    around = Around()
    body = in_function(dropout("flag"), around, "flag")
    model = model_with(body, around)
    call = next(node for node in model.graph.node if node.domain == "local")
    second = onnx.NodeProto()
    second.CopyFrom(call)
    call.input[-1], call.name = "no", "first_call"
    second.input[-1], second.name, second.output[0] = "yes", "second_call", "aside"
    model.graph.node.append(second)
    findings = audit_onnx(model).findings
    assert [finding.node for finding in findings] == ["main/second_call.p_Block/pf_dropout"]


def test_an_optional_input_that_a_call_leaves_out_is_absent_in_the_body():
    around = Around()
    model = model_with(in_function(dropout("flag"), around, "flag"), around)
    call = next(node for node in model.graph.node if node.domain == "local")
    del call.input[-1]
    assert audit_onnx(model).verdict == "clean"


def test_a_function_that_is_never_called_cannot_run():
    around = Around()
    model = model_with(in_function(dropout("yes"), around), around)
    called = next(node for node in model.graph.node if node.domain == "local")
    called.domain, called.op_type = "", "Identity"
    del called.input[1:]
    assert audit_onnx(model).verdict == "clean"


def test_a_body_of_its_own_does_not_make_a_dropout_harmless():
    model = model_with(dropout("yes"))
    opset = [helper.make_opsetid("", 18)]
    relu = helper.make_node("Relu", ["a"], ["b"])
    model.functions.append(helper.make_function("", "Dropout", ["a"], ["b"], [relu], opset))
    assert audit_onnx(model).verdict == "training"


def test_the_domain_ai_onnx_is_the_default_one():
    model = model_with(dropout("yes"))
    model.opset_import[0].domain = "ai.onnx"
    model.graph.node[1].domain = "ai.onnx"
    assert audit_onnx(model).verdict == "training"


def test_initializers_of_old_files_are_inputs_that_nobody_can_set():
    model = onnx.load_from_string(case("dropout-overridable-false").read())
    model.ir_version = 3
    assert audit_onnx(model).verdict == "clean"


def test_a_function_that_calls_itself_is_unreadable():
    call = helper.make_node("F", ["a"], ["b"], domain="local")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    model = model_with(
        lambda x, y, _: [helper.make_node("F", [x], [y], domain="local")],
        Around(
            domains={"local": 1},
            functions=[helper.make_function("local", "F", ["a"], ["b"], [call], opsets)],
        ),
    )
    with pytest.raises(Unreadable, match="nor may a function call itself"):
        audit_onnx(model)
    with pytest.raises(Unreadable, match="recursive"):
        read_onnx(model.SerializeToString(), source="model.onnx")


def test_functions_that_nest_without_end_are_unreadable():
    with pytest.raises(Unreadable, match="more than 64 deep"):
        audit_onnx(doubling_functions(70))


@pytest.mark.parametrize("limit", ["NODES_LIMIT", "BODIES_LIMIT"])
def test_a_model_that_spells_out_to_endless_work_is_unreadable(monkeypatch, limit):
    monkeypatch.setattr(traversal, limit, 10)
    with pytest.raises(
        Unreadable, match="must spell out to at most 1,000,000 nodes and 10,000 function"
    ):
        audit_onnx(doubling_functions(20))


def with_external_weights() -> bytes:
    model = model_with(dropout(None))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../weights.bin")
    return model.SerializeToString()


def with_external_constant_in_a_branch() -> bytes:
    model = onnx.load_from_string(case("dropout-in-if").read())
    branch = model.graph.node[1].attribute[0].g
    secret = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[1])
    secret.data_location = TensorProto.EXTERNAL
    secret.external_data.add(key="location", value="weights.bin")
    branch.node.append(helper.make_node("Constant", [], ["secret"], value=secret))
    return model.SerializeToString()


def without_nodes() -> bytes:
    graph = helper.make_graph([], "empty", [], [tensor("probabilities", HIDDEN)])
    return helper.make_model(graph).SerializeToString()


def without_operator() -> bytes:
    model = model_with(dropout(None))
    model.graph.node[1].op_type = "Drpout"
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"features,label\n1,2\n" * 20, "cannot be parsed"),
        (b"\x08\x0a", "no graph with nodes"),
        (np.random.default_rng(1).bytes(4096), "cannot be parsed"),
        (model_with(dropout(None)).SerializeToString()[:-40], "cannot be parsed"),
        (without_nodes(), "no graph with nodes"),
        (without_operator(), "No Op registered for Drpout"),
        (with_external_weights(), "lies in another file; save it as one file"),
        (with_external_constant_in_a_branch(), "'secret' lies in another file"),
    ],
    ids=[
        "empty",
        "text",
        "two-bytes",
        "noise",
        "truncated",
        "no-nodes",
        "no-such-operator",
        "external",
        "external-in-branch",
    ],
)
def test_what_is_no_onnx_model_is_refused_with_a_sentence(data, message):
    with pytest.raises(Unreadable, match=message) as caught:
        read_onnx(data, source="model.onnx")
    assert str(caught.value).startswith("model.onnx must")
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_read_or_refused_but_never_a_crash(data):
    whole = bytearray(case("dropout-in-function-in-function").read())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        report = audit(bytes(whole))
    except Unreadable:
        return
    assert report.operators > 0


def test_reading_needs_neither_torch_nor_onnxruntime():
    program = (
        "import sys, lockstep.proof.audit.onnx;print({'torch', 'onnxruntime'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
