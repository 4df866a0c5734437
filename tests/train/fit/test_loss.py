import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import predictions
from lockstep_train.fit.fit import fit
from lockstep_train.fit.loss import (
    class_weights,
    cross_entropy,
    loss_of,
    row_weights,
    squared_error,
)
from lockstep_train.network.digest import state_digest

BALANCED = TrainingConfiguration(class_weight="balanced")


@pytest.fixture(scope="module")
def wine():
    return built_in("wine", 0)


def configured(network=None, **training):
    return Configuration.model_validate(
        {
            "network": {"hidden": (16, 8), **(network or {})},
            "training": {"epochs": 3, "threads": 1, **training},
        }
    )


def losses(task):
    draw = torch.Generator().manual_seed(0)
    if task == "classification":
        return cross_entropy, torch.randn(3, 6, 4, generator=draw), torch.arange(6) % 4
    return squared_error, torch.randn(3, 6, 1, generator=draw), torch.randn(6, 1, generator=draw)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_loss_is_the_mean_of_the_members_losses(task):
    loss, outputs, targets = losses(task)
    each = [loss(outputs[member : member + 1], targets, None) for member in range(3)]
    torch.testing.assert_close(loss(outputs, targets, None), torch.stack(each).mean())


@pytest.mark.parametrize("task", ["classification", "regression"])
@given(counts=st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any))
def test_a_row_of_weight_two_counts_as_two_rows(task, counts):
    loss, outputs, targets = losses(task)
    repeats = torch.tensor(counts)
    weights = repeats * (6 / repeats.sum())
    repeated = loss(
        outputs.repeat_interleave(repeats, dim=1), targets.repeat_interleave(repeats, dim=0), None
    )
    torch.testing.assert_close(loss(outputs, targets, weights), repeated)


@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing_spreads_its_share_over_all_classes(weighted):
    _, outputs, targets = losses("classification")
    smoothing = TrainingConfiguration(label_smoothing=0.3)
    wanted = torch.full((6, 4), 0.3 / 4)
    wanted[torch.arange(6), targets] += 0.7
    expected = -(wanted * outputs.log_softmax(dim=2)).sum(dim=2).mean()
    loss = loss_of("classification", smoothing)
    torch.testing.assert_close(
        loss(outputs, targets, torch.ones(6) if weighted else None), expected
    )


def test_balanced_classes_count_alike_together(wine):
    weights = row_weights(wine.train, class_weights(wine, BALANCED))
    sums = np.bincount(wine.train.targets, weights=weights.numpy())
    np.testing.assert_allclose(sums, len(wine.train) / 3, rtol=1e-5)
    assert weights.mean().item() == pytest.approx(1)


def test_balanced_weights_of_classes_and_rows_are_multiplied(wine):
    given_weights = np.linspace(0, 2, len(wine.train), dtype=np.float32)
    train = dataclasses.replace(wine.train, weights=given_weights)
    weighted = dataclasses.replace(wine, train=train)
    weights = row_weights(train, class_weights(weighted, BALANCED))
    sums = np.bincount(train.targets, weights=weights.numpy())
    np.testing.assert_allclose(sums, len(train) / 3, rtol=1e-5)
    assert weights[0] == 0


def test_a_class_that_training_lacks_has_a_weight_in_validation_too(wine):
    absent = dataclasses.replace(wine, classes=(*wine.classes, "another"))
    assert class_weights(absent, BALANCED).tolist()[-1] == 1


def test_without_any_weights_there_are_none(wine):
    assert class_weights(wine, TrainingConfiguration()) is None
    assert row_weights(wine.train, None) is None


def test_balanced_classes_of_a_number_are_refused():
    with pytest.raises(InvalidSetting, match="needs a target with classes"):
        fit(configured(class_weight="balanced"), built_in("diabetes", 0))


def test_weights_that_are_all_0_are_refused(wine):
    nothing = dataclasses.replace(
        wine.validation, weights=np.zeros(len(wine.validation), np.float32)
    )
    with pytest.raises(InvalidSetting, match="weight above 0"):
        fit(configured(), dataclasses.replace(wine, validation=nothing))


@pytest.mark.parametrize("part", ["train", "validation"])
def test_the_target_of_a_row_that_counts_nothing_changes_nothing(wine, part):
    split = getattr(wine, part)
    weights = np.ones(len(split), np.float32)
    weights[:9] = 0
    other = split.targets.copy()
    other[:9] = (other[:9] + 1) % 3
    done = [
        fit(
            configured(),
            dataclasses.replace(
                wine, **{part: dataclasses.replace(split, targets=targets, weights=weights)}
            ),
        )
        for targets in (split.targets, other)
    ]
    assert state_digest(done[0].network) == state_digest(done[1].network)
    assert done[0].best.validation_loss == done[1].best.validation_loss


def test_rows_pull_the_answer_by_their_weights():
    diabetes = built_in("diabetes", 0)
    high = diabetes.train.targets > np.median(diabetes.train.targets)
    weights = np.where(high, 20, 1).astype(np.float32)
    train = dataclasses.replace(diabetes.train, weights=weights)
    plain = fit(configured(epochs=8), diabetes)
    pulled = fit(configured(epochs=8), dataclasses.replace(diabetes, train=train))
    plain_mean, pulled_mean = (
        predictions(done.network, diabetes.test).mean() for done in (plain, pulled)
    )
    assert pulled_mean > plain_mean + 20


def test_the_score_of_balanced_classes_says_so(wine):
    assert fit(configured(class_weight="balanced"), wine).score_name == "balanced accuracy"
    assert fit(configured(), wine).score_name == "accuracy"


def test_no_units_weights_are_longer_than_the_max_norm(wine):
    done = fit(configured({"max_norm": 0.5}, weight_decay=0.0), wine)
    hidden = [
        layer.weight.norm(dim=1).max().item()
        for layer in done.network.modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features != 3
    ]
    assert hidden
    assert max(hidden) == pytest.approx(0.5, rel=1e-5)
