"""What the network's parts become in the model files: parity, rows, audit, bits, size."""

import numpy as np
import onnx
import pytest
import torch

from lockstep.artifact.manifest import TensorSpec
from lockstep.engine import onnx as onnx_engine
from lockstep.engine import torchscript
from lockstep.proof.audit.onnx import audit_onnx
from lockstep.proof.audit.torchscript import audit_torchscript
from lockstep.proof.behaviour import check_batch_invariance
from lockstep.proof.parity import compare
from lockstep.proof.rows import row_independence
from lockstep_train.export.onnx_file import to_onnx
from lockstep_train.network.network import Answering
from mixed import mixed_dataset, network_for, numeric_dataset, odd_rows

pytestmark = pytest.mark.slow

OUTPUT = "answer"
OUTPUTS = (TensorSpec(name=OUTPUT, datatype="FP32", shape=(-1, 3)),)
BATCHES = [2, 3, 5, 8, 13, 17, 31, 33, 64]

# Every scaling with every embedding; the rest in turn, since an export takes a second.
CASES = [
    ({}, {}, {"numeric": "standard", "embedding": "none"}),
    (
        {"missing": False},
        {"members": 3, "embedding_dropout": 0.3},
        {"numeric": "standard", "embedding": "piecewise_linear", "mask_rate": 0.5},
    ),
    ({}, {"activation": "gelu"}, {"numeric": "standard", "embedding": "periodic"}),
    (
        {"missing": False, "unknown": False},
        {"members": 2},
        {"numeric": "robust", "embedding": "none", "one_hot_up_to": 99},
    ),
    ({"regression": True}, {}, {"numeric": "robust", "embedding": "piecewise_linear"}),
    (
        {"unknown": False},
        {"batch_norm": False},
        {"numeric": "robust", "embedding": "periodic", "one_hot_up_to": 0},
    ),
    (
        {"regression": True, "missing": False},
        {"members": 2, "hidden": [7]},
        {"numeric": "quantile", "embedding": "none", "one_hot_up_to": 0},
    ),
    ({}, {}, {"numeric": "quantile", "embedding": "piecewise_linear", "bins": 6}),
    (
        {"categories": ()},
        {"input_dropout": 0.2},
        {"numeric": "quantile", "embedding": "periodic", "bins": 5},
    ),
]


def files_of(network, dataset):
    served = Answering(network).eval()
    sample = dataset.train.features[:4]
    return to_onnx(served, sample, OUTPUT), torchscript.freeze(served, sample)


@pytest.mark.parametrize(
    ("table", "network", "preprocessing"),
    CASES,
    ids=[f"{settings['numeric']}-{settings['embedding']}" for _, _, settings in CASES],
)
def test_both_files_answer_as_the_network_does(table, network, preprocessing):
    dataset = mixed_dataset(**table)
    made = network_for(dataset, network=network, **preprocessing)
    if dataset.classes is not None:
        made.answer.temperature.fill_(1.4)
    onnx_file, script = files_of(made, dataset)
    typical, odd = dataset.train.features[:80], odd_rows(dataset, 1e-40)
    rows = np.concatenate([typical, odd])
    with torch.inference_mode():
        expected = Answering(made)(torch.tensor(rows)).numpy()
    engines = {
        "onnx": onnx_engine.open_model(onnx_file, OUTPUTS, threads=1, optimised=True),
        "onnx without optimisations": onnx_engine.open_model(
            onnx_file, OUTPUTS, threads=1, optimised=False
        ),
        "torchscript": torchscript.open_model(script, OUTPUTS, threads=1, optimised=True),
    }
    for name, engine in engines.items():
        for part in (slice(None, 80), slice(80, None)):
            answers = expected[part], engine.run(rows[part])[0]
            parity = compare("eager", name, OUTPUT, answers, dataset.task)
            assert parity.holds, parity
    model = onnx.load_from_string(onnx_file)
    assert [verdict.verdict for verdict in row_independence(model)] == ["independent"]
    assert audit_onnx(model).verdict == "clean"
    assert audit_torchscript(torchscript.load_module(script)).verdict == "clean"
    assert not {node.op_type for node in model.graph.node if "Random" in node.op_type}
    # As it is, without a tile.
    invariance = check_batch_invariance(engines["onnx"], typical, odd, BATCHES)
    assert invariance.holds, invariance


def operators(network, dataset):
    onnx_file = to_onnx(Answering(network).eval(), dataset.train.features[:4], OUTPUT)
    return [node.op_type for node in onnx.load_from_string(onnx_file).graph.node]


@pytest.mark.parametrize("width", [2, 784])
def test_a_table_of_plain_numbers_costs_what_it_must(width):
    dataset = numeric_dataset(np.random.default_rng(0).normal(size=(30, width)))
    blocks = ["Gemm", "Relu", "Gemm", "Relu", "Gemm", "Softmax"]
    assert operators(network_for(dataset), dataset) == ["Sub", "Div", *blocks]


def test_members_share_the_preprocessing_and_are_added_one_by_one():
    dataset = numeric_dataset(np.random.default_rng(0).normal(size=(30, 5)))
    network = network_for(dataset, network={"members": 3})
    network.answer.temperature.fill_(2.5)
    chain = ["Gemm", "Relu", "Gemm", "Relu", "Gemm", "Div", "Softmax"]
    expected = ["Sub", "Div", *chain * 3, "Add", "Add", "Mul"]
    assert sorted(operators(network, dataset)) == sorted(expected)


def test_more_columns_make_no_more_nodes():
    nodes = []
    for times in (1, 6):
        dataset = mixed_dataset(categories=(3, 14) * times)
        network = network_for(dataset, numeric="quantile", embedding="piecewise_linear")
        nodes.append(operators(network, dataset))
    assert nodes[0] == nodes[1]
    assert len(nodes[0]) <= 60
