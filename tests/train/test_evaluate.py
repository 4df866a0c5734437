import numpy as np
import pytest
import torch
from sklearn import metrics

from train.configuration.configuration import Configuration
from train.configuration.network import NetworkConfiguration
from train.data.built_in import built_in
from train.data.dataset import Split
from train.evaluate import evaluate, inference, loss_and_score, outputs
from train.fit import Rows
from train.network.network import Answering, Network


def network_of(name):
    dataset = built_in(name, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network.of(Configuration(network=NetworkConfiguration(hidden=(8, 4))), dataset)
        network(torch.tensor(dataset.train.features))  # BatchNorm has seen something
    return network, dataset


def answers_to(network, split):
    with inference(network):
        return Answering(network)(torch.tensor(split.features)).double().numpy()


def flags_of(module):
    return [child.training for child in module.modules()]


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_every_layer_is_left_in_the_mode_that_it_was_in(name):
    network, dataset = network_of(name)
    network.train()
    network.blocks[0].norm.eval()
    before = flags_of(network)
    evaluate(network, dataset.test)
    assert flags_of(network) == before


def test_the_mode_is_restored_when_the_evaluation_fails():
    network, _ = network_of("wine")
    network.train()
    too_narrow = torch.zeros(2, 1)
    with pytest.raises(RuntimeError), inference(network):
        network.head(too_narrow)
    assert all(flags_of(network))


def test_an_evaluation_does_not_move_the_running_statistics():
    network, dataset = network_of("wine")
    before = network.blocks[0].norm.running_mean.clone()
    evaluate(network.train(), dataset.test)
    assert torch.equal(network.blocks[0].norm.running_mean, before)


def test_the_metrics_of_a_classification_are_those_of_scikit_learn():
    network, dataset = network_of("wine")
    measured = evaluate(network, dataset.test)
    probabilities, targets = answers_to(network, dataset.test), dataset.test.targets
    chosen = probabilities.argmax(axis=1)
    assert measured.rows == len(targets)
    assert measured.accuracy == pytest.approx(metrics.accuracy_score(targets, chosen))
    expected = -np.log(probabilities[np.arange(len(targets)), targets]).mean()
    assert measured.log_loss == pytest.approx(expected, rel=1e-5)
    assert measured.macro_f1 == pytest.approx(
        metrics.f1_score(targets, chosen, average="macro", zero_division=0)
    )
    assert measured.as_dict().keys() == {"rows", "accuracy", "log_loss", "macro_f1"}


def test_the_metrics_of_a_regression_are_those_of_scikit_learn():
    network, dataset = network_of("diabetes")
    measured = evaluate(network, dataset.test)
    predicted, targets = answers_to(network, dataset.test)[:, 0], dataset.test.targets
    expected = {
        "rmse": metrics.root_mean_squared_error(targets, predicted),
        "mae": metrics.mean_absolute_error(targets, predicted),
        "r2": metrics.r2_score(targets, predicted),
        "rows": len(targets),
    }
    assert measured.as_dict() == pytest.approx(expected, rel=1e-5)


def test_the_share_of_variance_is_left_out_where_there_is_none():
    network, dataset = network_of("diabetes")
    one = Split(dataset.test.features[:1], dataset.test.targets[:1])
    measured = evaluate(network, one)
    assert measured.r2 is None
    assert measured.as_dict().keys() == {"rows", "rmse", "mae"}


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_a_point_of_the_curves_agrees_with_the_metrics(name):
    network, dataset = network_of(name)
    rows = Rows.of(dataset.validation, network)
    loss, score = loss_and_score(network, rows.features, rows.targets)
    measured = evaluate(network, dataset.validation).as_dict()
    assert score == pytest.approx(measured["accuracy" if name == "wine" else "rmse"], rel=1e-5)
    if name == "wine":
        assert loss == pytest.approx(measured["log_loss"])


def test_rows_are_measured_in_batches_and_none_is_left_out(monkeypatch):
    network, dataset = network_of("wine")
    features = torch.tensor(dataset.train.features)
    whole = outputs(network, features)
    monkeypatch.setattr("train.evaluate.EVALUATION_ROWS", 7)
    torch.testing.assert_close(outputs(network, features), whole)
