import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from lockstep.errors import InvalidSetting
from lockstep_train.evaluate.metrics import (
    brier,
    classification_metrics,
    log_loss,
    regression_metrics,
    reliability,
)


def answers(classes, rows=60, seed=0):
    """Logs of probabilities that are right now and then, and the right classes."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, rows)
    targets[:classes] = np.arange(classes)
    logits = generator.normal(0, 1, (rows, classes)) + np.eye(classes)[targets]
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), targets


def weights_of(rows, seed=1):
    return np.random.default_rng(seed).integers(1, 5, rows).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_figures_of_a_classification_are_those_of_scikit_learn(classes, weighted):
    logs, targets = answers(classes)
    weights = weights_of(len(targets)) if weighted else None
    probabilities, chosen = np.exp(logs), logs.argmax(axis=1)
    measured = classification_metrics(logs, targets, weights)
    counted = {"sample_weight": weights}
    scores = probabilities[:, 1] if classes == 2 else probabilities
    expected = {
        "rows": len(targets),
        "accuracy": metrics.accuracy_score(targets, chosen, **counted),
        "balanced_accuracy": metrics.balanced_accuracy_score(targets, chosen, **counted),
        "log_loss": metrics.log_loss(targets, probabilities, **counted),
        "macro_f1": metrics.f1_score(targets, chosen, average="macro", **counted),
        "brier": metrics.brier_score_loss(
            targets, scores, **counted, labels=None if classes == 2 else range(classes)
        ),
    }
    found = measured.as_dict()
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    if classes == 2 or not weighted:
        how = {} if classes == 2 else {"multi_class": "ovr"}
        area = metrics.roc_auc_score(targets, scores, **counted, **how)
        assert measured.roc_auc == pytest.approx(area)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_figures_of_a_regression_are_those_of_scikit_learn(weighted):
    generator = np.random.default_rng(0)
    targets = generator.normal(5, 3, 40).astype(np.float32)
    predicted = targets + generator.normal(0, 1, 40)
    weights = weights_of(40) if weighted else None
    counted = {"sample_weight": weights}
    expected = {
        "rows": 40,
        "rmse": metrics.root_mean_squared_error(targets, predicted, **counted),
        "mae": metrics.mean_absolute_error(targets, predicted, **counted),
        "r2": metrics.r2_score(targets, predicted, **counted),
    }
    assert regression_metrics(predicted, targets, weights).as_dict() == pytest.approx(expected)


def doubled(values, counts):
    return np.repeat(values, counts, axis=0)


@pytest.mark.slow
@given(st.integers(0, 50), st.sampled_from([2, 4]))
def test_a_row_of_weight_two_counts_as_two_rows_and_one_of_weight_zero_as_none(seed, classes):
    logs, targets = answers(classes, seed=seed)
    counts = np.random.default_rng(seed).integers(0, 3, len(targets))
    weighted = classification_metrics(logs, targets, counts.astype(np.float32)).as_dict()
    repeated = classification_metrics(doubled(logs, counts), doubled(targets, counts)).as_dict()
    assert weighted.pop("rows") == (counts > 0).sum()
    assert repeated.pop("rows") == counts.sum()
    assert weighted == pytest.approx(repeated)
    numbers = regression_metrics(logs[:, 0], targets, counts.astype(np.float32)).as_dict()
    expected = regression_metrics(doubled(logs[:, 0], counts), doubled(targets, counts)).as_dict()
    assert numbers | {"rows": 0} == pytest.approx(expected | {"rows": 0})


def test_the_area_is_left_out_where_only_one_class_occurs():
    logs, _ = answers(3)
    measured = classification_metrics(logs, np.full(len(logs), 1))
    assert measured.roc_auc is None
    assert "roc_auc" not in measured.as_dict()
    assert measured.balanced_accuracy == measured.accuracy


def test_a_class_that_does_not_occur_takes_no_part_in_the_averages():
    logs, targets = answers(3)
    two = targets < 2
    measured = classification_metrics(logs[two], targets[two])
    areas = [metrics.roc_auc_score(targets[two] == i, np.exp(logs[two, i])) for i in (0, 1)]
    assert measured.roc_auc == pytest.approx(np.mean(areas))


def test_the_share_of_variance_is_left_out_where_there_is_none():
    measured = regression_metrics(np.array([1.0, 2.0]), np.array([3.0, 3.0], np.float32))
    assert measured.r2 is None
    assert measured.as_dict().keys() == {"rows", "rmse", "mae"}


def test_a_probability_that_rounds_to_zero_has_a_finite_loss():
    assert log_loss(np.array([[-2000.0, 0.0]]), np.array([0])) == 2000


def test_rows_without_any_weight_are_refused():
    logs, targets = answers(2)
    with pytest.raises(InvalidSetting, match="weight above 0 among the 60 rows"):
        classification_metrics(logs, targets, np.zeros(60))


def test_the_calibration_error_is_the_mean_distance_of_the_bins():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    targets = np.array([0, 1, 1, 0])
    found = reliability(probabilities, targets)
    # Of two at 0.9 one is right; the one at 0.8 is; the one at 0.6 is not.
    assert found.ece == pytest.approx((2 * 0.4 + 0.2 + 0.6) / 4)
    assert found.share.sum() == pytest.approx(1)
    assert found.share[13] == 0.5
    assert found.accuracy[13] == 0.5
    assert found.confidence[13] == pytest.approx(0.9)


@pytest.mark.parametrize(("confidence", "place"), [(1.0, 14), (14 / 15, 13), (0.5, 7)])
def test_a_bin_holds_its_upper_edge(confidence, place):
    found = reliability(np.array([[confidence, 1 - confidence]]), np.array([0]))
    assert found.share[place] == 1


@given(st.integers(0, 100), st.integers(2, 5))
def test_sure_and_right_answers_have_no_error_and_none_is_beyond_its_bounds(seed, classes):
    logs, targets = answers(classes, seed=seed)
    truth = np.eye(classes)[targets]
    assert reliability(truth, targets).ece == brier(truth, targets) == 0
    assert 0 <= reliability(np.exp(logs), targets).ece <= 1
    assert 0 <= brier(np.exp(logs), targets) <= (1 if classes == 2 else 2)
