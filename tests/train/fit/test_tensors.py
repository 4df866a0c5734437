import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import loss_and_score, outputs
from lockstep_train.fit.fit import fit
from lockstep_train.fit.tensors import FitTensors, SplitTensors
from lockstep_train.network.digest import state_digest
from lockstep_train.network.network import Network
from mixed import mixed_dataset


@pytest.fixture(scope="module")
def wine():
    return built_in("wine", 0)


def configured(preprocessing=None, network=None, **training):
    return Configuration.model_validate(
        {
            "preprocessing": preprocessing or {},
            "network": {"hidden": (16, 8), "dropout": 0.2, **(network or {})},
            "training": {"epochs": 3, "threads": 1, "batch_size": 16, **training},
        }
    )


def parts_of(configuration, dataset):
    with torch.random.fork_rng(devices=[]):
        network = Network.of(configuration, dataset)
    return network, FitTensors.of(dataset, network, configuration.training, torch.device("cpu"))


FIXED = {
    "standard": {},
    "shared": {"numeric": "shared"},
    "robust": {"numeric": "robust"},
    "quantile": {"numeric": "quantile"},
    "bins": {"embedding": "piecewise_linear", "bins": 3},
    "one-hot": {"one_hot_up_to": 99, "mask_rate": 0.0},
}
STEPWISE = {
    "masked categories": {"one_hot_up_to": 99},
    "embedded categories": {"mask_rate": 0.0},
    "learned frequencies": {"embedding": "periodic"},
    "combined bins": {"embedding": "piecewise_linear", "bins": 3, "column_width": 2},
    "bins that take too much memory": {"embedding": "piecewise_linear", "bins": 64},
}


def dataset_for(name, wine):
    if name == "one-hot":
        return mixed_dataset(categories=(3, 4))
    return mixed_dataset() if "categories" in name else wine


@pytest.mark.parametrize("name", FIXED)
def test_what_no_step_changes_is_preprocessed_before_the_first_one(name, wine):
    dataset = dataset_for(name, wine)
    network, parts = parts_of(configured(FIXED[name]), dataset)
    for rows, split in ((parts.train, dataset.train), (parts.validation, dataset.validation)):
        assert rows.prepared
        features = torch.tensor(split.features)
        assert torch.equal(rows.features, network.preprocessing(features))
        answers = outputs(network, rows.features, prepared=True)
        assert torch.equal(answers, outputs(network, features))


@pytest.mark.parametrize("name", STEPWISE)
def test_everything_else_is_preprocessed_in_each_step(name, wine):
    dataset = dataset_for(name, wine)
    _, parts = parts_of(configured(STEPWISE[name]), dataset)
    assert not parts.train.prepared
    assert torch.equal(
        parts.train.features.nan_to_num(), torch.tensor(dataset.train.features).nan_to_num()
    )


def test_rows_for_which_there_is_no_memory_are_preprocessed_in_each_step(wine, monkeypatch):
    monkeypatch.setattr("lockstep_train.fit.tensors.MOST_PREPARED_BYTES", 1000)
    _, parts = parts_of(configured(), wine)
    assert not parts.train.prepared


def assert_same(one, other):
    assert state_digest(one.network) == state_digest(other.network)
    unclocked = [[dataclasses.replace(e, seconds=0) for e in done.history] for done in (one, other)]
    assert unclocked[0] == unclocked[1]


@pytest.mark.parametrize("name", ["standard", "quantile"])
def test_preprocessing_once_changes_no_bit_of_a_fit(name, wine, monkeypatch):
    once = fit(configured(FIXED[name]), wine)
    monkeypatch.setattr("lockstep_train.fit.tensors.MOST_PREPARED_BYTES", 0)
    assert_same(fit(configured(FIXED[name]), wine), once)


@pytest.mark.parametrize("weighted", [False, True])
def test_how_many_batches_are_taken_at_once_changes_no_bit_of_a_fit(weighted, wine, monkeypatch):
    configuration = configured(class_weight="balanced" if weighted else "none")
    together = fit(configuration, wine)
    monkeypatch.setattr("lockstep_train.fit.learner.BATCHES_TAKEN", 2)
    assert_same(fit(configuration, wine), together)
    monkeypatch.setattr("lockstep_train.fit.learner.BYTES_TAKEN", 1)
    assert_same(fit(configuration, wine), together)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    weighted=st.booleans(),
    prepared=st.booleans(),
)
def test_parts_of_rows_follow_one_another(sizes, weighted, prepared):
    numbers = torch.arange(sum(sizes))
    rows = SplitTensors(
        numbers[:, None].float(), numbers, numbers.double() if weighted else None, prepared
    )
    parts = list(rows.split(sizes))
    assert [len(part) for part in parts] == sizes
    assert all(part.prepared is prepared for part in parts)
    for name in ("features", "targets", "weights")[: 3 if weighted else 2]:
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(rows, name))
    assert weighted or all(part.weights is None for part in parts)


def test_a_point_of_the_curves_is_the_same_of_prepared_rows(wine):
    network, parts = parts_of(configured(), wine)
    raw = SplitTensors.of(wine.validation, network)
    measured = loss_and_score(network, raw.features, raw.targets)
    prepared = parts.validation
    again = loss_and_score(network, prepared.features, prepared.targets, prepared=True)
    assert measured == again
    assert np.isfinite(measured).all()
