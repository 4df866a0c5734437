"""The exact network of every kind of preprocessing and activation, in all its forms."""

import numpy as np
import onnx
import pytest
import torch

from lockstep.artifact.manifest import TensorSpec
from lockstep.engine import onnx as onnx_engine
from lockstep.engine import torchscript
from lockstep.proof.exact import exactness
from lockstep_train.exact.answer import FARTHEST_LOGIT, LOGIT_BITS, ExactSoftmax
from lockstep_train.exact.network import ExactNetwork, answers, saturation
from lockstep_train.export.onnx_file import to_onnx
from lockstep_train.network.ensemble import Ensemble
from lockstep_train.network.network import Answering
from mixed import mixed_dataset, network_for, odd_rows

pytestmark = pytest.mark.slow

OUTPUT = "probabilities"
OUTPUTS = (TensorSpec(name=OUTPUT, datatype="FP32", shape=(-1, 3)),)
CASES = {
    "standard": ({}, {}, {}),
    "robust leaky_relu": ({}, {"activation": "leaky_relu"}, {"numeric": "robust"}),
    "quantile gelu members": ({}, {"activation": "gelu", "members": 3}, {"numeric": "quantile"}),
    "bins": ({}, {"activation": "silu"}, {"embedding": "piecewise_linear"}),
    "bins combined": ({}, {}, {"embedding": "piecewise_linear", "column_width": 4}),
    "waves": ({}, {"activation": "tanh"}, {"embedding": "periodic", "bins": 5}),
    "one-hot only, no norm": ({}, {"batch_norm": False}, {"one_hot_up_to": 20}),
    "regression": ({"regression": True}, {"members": 2}, {}),
    "regression elu": ({"regression": True}, {"activation": "elu"}, {"embedding": "periodic"}),
}


def exact_of(name):
    table, network, preprocessing = CASES[name]
    dataset = mixed_dataset(**table)
    fitted = network_for(dataset, network=network, **preprocessing)
    if dataset.classes is not None:
        fitted.answer.temperature.fill_(1.4)
    return dataset, fitted, ExactNetwork(fitted, dataset.train.features)


@pytest.mark.parametrize("name", CASES)
def test_all_forms_agree_to_the_bit_and_the_file_is_exact_by_construction(name):
    dataset, _, exact = exact_of(name)
    sample = dataset.train.features[:4]
    file, script = to_onnx(exact, sample, OUTPUT), torchscript.freeze(exact, sample)
    rows = np.concatenate([dataset.train.features[:100], odd_rows(dataset, np.inf, -np.inf)])
    expected = answers(exact, rows)
    assert expected.dtype == np.float32
    assert np.isfinite(expected).all()
    for engine in (
        onnx_engine.open_model(file, OUTPUTS, threads=1, optimised=True),
        onnx_engine.open_model(file, OUTPUTS, threads=2, optimised=False),
        torchscript.open_model(script, OUTPUTS, threads=1, optimised=True),
    ):
        assert engine.run(rows)[0].tobytes() == expected.tobytes()
        few = range(0, len(rows), 9)
        singles = [engine.run(rows[i : i + 1])[0] for i in few]
        assert np.concatenate(singles).tobytes() == expected[few].tobytes()
    found = exactness(onnx.load_from_string(file))
    assert found.verdict == "exact", found.reason
    assert found.tightest.spare_bits > 0


@pytest.mark.parametrize("name", CASES)
def test_the_exact_network_answers_as_the_fitted_one_does(name):
    dataset, fitted, exact = exact_of(name)
    rows = dataset.train.features
    assert saturation(exact, rows)[0].cut == 0
    reference = answers(Answering(fitted).eval(), rows)
    scale = 1.0 if dataset.classes else 5.0  # the target's deviation
    assert np.abs(answers(exact, rows) - reference).max() <= 1e-5 * scale


def test_an_ensemble_of_networks_is_brought_into_exact_precision_too():
    dataset = mixed_dataset()
    networks = [network_for(dataset, numeric=numeric) for numeric in ("standard", "robust")]
    networks[1].answer.temperature.fill_(0.6)
    ensemble = Ensemble(networks)
    ensemble.answer.temperature.fill_(1.3)
    rows = dataset.train.features
    exact = answers(ExactNetwork(ensemble, rows), rows)
    assert np.abs(exact - answers(Answering(ensemble).eval(), rows)).max() <= 1e-5


def test_what_does_not_fit_on_its_grid_is_counted():
    dataset, _, exact = exact_of("standard")
    far = dataset.train.features.copy()
    far[3] *= 1e6
    counted, rows = saturation(exact, far)
    assert counted.cut > 0
    assert counted.rows == rows.sum() == 1
    assert rows[3]


def test_threads_do_not_matter_to_the_eager_network():
    dataset, _, exact = exact_of("standard")
    before = torch.get_num_threads()
    found = set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.add(answers(exact, dataset.train.features).tobytes())
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


def test_numpy_that_adds_in_a_shuffled_order_gives_the_same_sums():
    dataset, _, exact = exact_of("standard")
    branch = exact.branches[0]
    with torch.inference_mode():
        columns = branch.preprocessing(torch.tensor(dataset.train.features)).t()
        linear = branch.members[0].blocks[0].linear
        expected = linear(columns).numpy()
    weight = linear.weight.numpy()
    for seed in range(5):
        total = np.zeros_like(expected)
        total += linear.bias.numpy()
        for i in np.random.default_rng(seed).permutation(weight.shape[1]):
            total += weight[:, i : i + 1] * columns.numpy()[i]
        # Only the sign of an exact zero may differ, and no later node looks at it.
        assert np.array_equal(total, expected)


@pytest.mark.parametrize("n_classes", [2, 10, 200])
def test_probabilities_sum_to_1_and_keep_the_order_of_the_logits(n_classes):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 8, (2_000, n_classes))
    logits[:100] *= 20
    whole = torch.tensor(np.rint(logits * 2**LOGIT_BITS))
    found = ExactSoftmax()(whole).numpy()
    assert np.abs(found.astype(np.float32).sum(axis=1) - 1).max() <= 1e-6
    order = np.argsort(whole.numpy(), axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(found, order, axis=1)) >= 0).all()
    expected = torch.softmax(whole / 2**LOGIT_BITS, dim=1).numpy()
    near = logits.max(axis=1, keepdims=True) - logits < FARTHEST_LOGIT - 1
    assert np.abs(found[near] / expected[near] - 1).max() < 1e-12
