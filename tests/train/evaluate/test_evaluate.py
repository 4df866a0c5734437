import dataclasses

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.network import NetworkConfiguration
from lockstep_train.data.dataset import Split
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import (
    averaged_log_probabilities,
    baseline,
    evaluate,
    inference,
    log_probabilities,
    loss_and_score,
    outputs,
    predictions,
    temperature_of,
)
from lockstep_train.fit.tensors import SplitTensors
from lockstep_train.network.network import Answering, Network


def network_of(name, members=1):
    dataset = built_in(name, 0)
    configuration = Configuration(network=NetworkConfiguration(hidden=(8, 4), members=members))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network.of(configuration, dataset)
        network(torch.tensor(dataset.train.features))  # BatchNorm has seen something
    return network, dataset


def answers_to(network, split):
    with inference(network):
        return Answering(network)(torch.tensor(split.features)).double().numpy()


def norm_of(network):
    return next(part for part in network.modules() if isinstance(part, torch.nn.BatchNorm1d))


def flags_of(module):
    return [child.training for child in module.modules()]


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_every_layer_is_left_in_the_mode_that_it_was_in(name):
    network, dataset = network_of(name)
    network.train()
    norm_of(network).eval()
    before = flags_of(network)
    evaluate(network, dataset.test)
    assert flags_of(network) == before


def test_the_mode_is_restored_when_the_evaluation_fails():
    network, _ = network_of("wine")
    network.train()
    with pytest.raises(ZeroDivisionError), inference(network):
        _ = 1 / 0
    assert all(flags_of(network))


def test_an_evaluation_does_not_move_the_running_statistics():
    network, dataset = network_of("wine")
    before = norm_of(network).running_mean.clone()
    evaluate(network.train(), dataset.test)
    assert torch.equal(norm_of(network).running_mean, before)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_what_is_measured_is_what_is_answered(members, temperature):
    network, dataset = network_of("wine", members)
    temperature_of(network).fill_(temperature)
    measured = np.exp(log_probabilities(network, dataset.test))
    np.testing.assert_allclose(measured, answers_to(network, dataset.test), atol=1e-6)
    plain = np.exp(log_probabilities(network, dataset.test, 1.0))
    assert np.allclose(plain, measured) == (temperature == 1)


@pytest.mark.parametrize("members", [1, 3])
def test_what_is_measured_of_a_regression_is_what_is_predicted(members):
    network, dataset = network_of("diabetes", members)
    answered = answers_to(network, dataset.test)[:, 0]
    np.testing.assert_allclose(predictions(network, dataset.test), answered, rtol=1e-5)


def test_a_regression_has_no_temperature():
    network, _ = network_of("diabetes")
    with pytest.raises(InvalidSetting, match="got a regression"):
        temperature_of(network)


def test_probabilities_too_small_for_a_float_have_logs():
    logits = torch.tensor([[[0.0, 2000.0]], [[0.0, 1900.0]]])
    logs = averaged_log_probabilities(logits, 1.0)
    assert logs[0, 0].item() == pytest.approx(-1900 - np.log(2))
    assert torch.isfinite(logs).all()


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_a_point_of_the_curves_agrees_with_the_metrics(name, weighted, members):
    network, dataset = network_of(name, members)
    split = dataset.validation
    if weighted:
        generator = np.random.default_rng(0)
        weights = generator.uniform(0.1, 2, len(split)).astype(np.float32)
        split = dataclasses.replace(split, weights=weights)
    rows = SplitTensors.of(split, network)
    loss, score = loss_and_score(network, rows.features, rows.targets, rows.weights)
    measured = evaluate(network, split).as_dict()
    assert score == pytest.approx(measured["accuracy" if name == "wine" else "rmse"], rel=1e-5)
    if name == "wine":
        assert loss == pytest.approx(measured["log_loss"])


def test_rows_are_measured_in_batches_and_none_is_left_out(monkeypatch):
    network, dataset = network_of("wine", members=2)
    features = torch.tensor(dataset.train.features)
    whole = outputs(network, features)
    assert whole.shape == (2, len(features), 3)
    monkeypatch.setattr("lockstep_train.evaluate.evaluate.EVALUATION_ROWS", 7)
    torch.testing.assert_close(outputs(network, features), whole)


def test_the_answer_that_looks_at_no_column_is_that_of_the_most_frequent_class():
    dataset = built_in("wine", 0)
    measured = baseline(dataset)
    dummy = DummyClassifier(strategy="prior").fit(dataset.train.features, dataset.train.targets)
    assert measured.accuracy == dummy.score(dataset.test.features, dataset.test.targets)
    assert measured.roc_auc == 0.5
    assert measured.balanced_accuracy == pytest.approx(1 / 3)


def test_the_answer_that_looks_at_no_column_is_the_mean():
    dataset = built_in("diabetes", 0)
    measured = baseline(dataset)
    dummy = DummyRegressor().fit(dataset.train.features, dataset.train.targets)
    r2 = dummy.score(dataset.test.features, dataset.test.targets)
    assert measured.r2 == pytest.approx(r2, abs=1e-6)


def test_the_weights_of_the_training_rows_decide_what_is_most_frequent():
    dataset = built_in("wine", 0)
    weights = np.where(dataset.train.targets == 2, 100.0, 1.0).astype(np.float32)
    weighted = dataclasses.replace(
        dataset, train=Split(dataset.train.features, dataset.train.targets, weights)
    )
    assert baseline(weighted).accuracy == pytest.approx((dataset.test.targets == 2).mean())


def test_no_class_is_impossible_even_where_training_lacks_it():
    dataset = built_in("wine", 0)
    known = dataset.train.targets != 2
    lacking = dataclasses.replace(
        dataset, train=Split(dataset.train.features[known], dataset.train.targets[known])
    )
    assert np.isfinite(baseline(lacking).log_loss)
