import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from lockstep.artifact.encoding import encode
from lockstep.engine.onnx import open_model
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.estimator.estimator import LockstepClassifier, LockstepRegressor
from lockstep_train.evaluate.evaluate import temperature_of
from lockstep_train.pipeline import measured

SMALL = {"hidden": (16,), "epochs": 20, "learning_rate": 0.03, "threads": 1}
QUICK = {"hidden": (8,), "epochs": 3, "threads": 1, "random_state": 0}

# The reason is scikit-learn's own for what it fits in random batches: repeated samples make other
# batches than weighted ones.
BATCHES = "sample_weight is not equivalent to removing/repeating samples."


@pytest.mark.slow
@parametrize_with_checks(
    [LockstepClassifier(**SMALL), LockstepRegressor(**SMALL)],
    expected_failed_checks=lambda _: {"check_sample_weight_equivalence_on_dense_data": BATCHES},
)
@pytest.mark.filterwarnings("ignore:SCIPY_ARRAY_API:sklearn.exceptions.SkipTestWarning")
def test_what_scikit_learn_asks_of_an_estimator_holds(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def people():
    """A frame with words, categories, booleans and missing values; what to predict from it."""
    draw = np.random.default_rng(0)
    rows = 120
    frame = pd.DataFrame(
        {
            "age": draw.normal(40, 10, rows),
            "job": draw.choice(["cook", "clerk", "pilot"], rows),
            "member": draw.random(rows) > 0.5,
            "region": pd.Categorical(draw.choice(["north", "south"], rows)),
        }
    )
    labels = np.where((frame["job"] == "cook") ^ frame["member"], "yes", "no")
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "job"] = None
    return frame, labels


def in_polars(frame):
    return pl.DataFrame(
        {
            name: [None if pd.isna(value) else value for value in frame[name].tolist()]
            for name in frame
        }
    )


def test_words_categories_and_missing_values_are_learned_from(people):
    frame, labels = people
    classifier = LockstepClassifier(hidden=(16,), epochs=40, threads=1, random_state=0)
    assert classifier.fit(frame, labels).score(frame, labels) > 0.9
    assert [column.kind for column in classifier.encoding_.columns] == [
        "numeric",
        "categorical",
        "boolean",
        "categorical",
    ]


def test_a_pandas_and_a_polars_frame_give_the_same_answers(people):
    frame, labels = people
    one = LockstepClassifier(**QUICK).fit(frame, labels)
    other = LockstepClassifier(**QUICK).fit(in_polars(frame), labels)
    assert np.array_equal(one.predict_proba(frame), other.predict_proba(in_polars(frame)))


def test_a_category_never_seen_is_answered(people):
    frame, labels = people
    strange = frame.head(3).assign(job="astronaut")
    answered = LockstepClassifier(**QUICK).fit(frame, labels).predict_proba(strange)
    assert np.isfinite(answered).all()


def test_a_value_missing_where_none_was_is_refused_by_name(people):
    frame, labels = people
    classifier = LockstepClassifier(**QUICK).fit(frame, labels)
    with pytest.raises(ValueError, match="column member: expected a value"):
        classifier.predict(frame.assign(member=None))


def test_a_frame_of_numbers_is_what_its_array_is():
    samples, targets = load_wine(return_X_y=True, as_frame=True)
    one = LockstepClassifier(**QUICK).fit(samples, targets)
    other = LockstepClassifier(**QUICK).fit(samples.to_numpy(), targets)
    assert np.array_equal(one.predict_proba(samples), other.predict_proba(samples.to_numpy()))
    assert one.encoding_.columns[0].name == "alcohol"


@pytest.mark.slow
def test_the_served_answers_are_those_of_predict_proba(people, tmp_path):
    frame, labels = people
    classifier = LockstepClassifier(**QUICK).fit(frame, labels)
    artifact = classifier.export(tmp_path / "models", name="people")
    instances = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    features = encode(instances, artifact.manifest.columns)
    served = answers_of(artifact, features)
    assert artifact.manifest.classes == ("no", "yes")
    assert np.abs(served - classifier.predict_proba(frame)).max() < 1e-6


@pytest.mark.slow
def test_its_calibration_is_stated_in_the_manifest_as_the_commands_is(tmp_path):
    samples, targets = load_digits(return_X_y=True)
    classifier = LockstepClassifier(**QUICK).fit(samples, targets)
    artifact = classifier.export(tmp_path, name="digits")
    trained = measured(classifier.fit_, classifier.dataset_)
    of_the_command, _ = trained.export(tmp_path, "of-the-command")
    stated = artifact.manifest.training["calibration"]
    assert stated["note"].startswith("Calibrated: a temperature of ")
    assert stated["temperature"] == temperature_of(classifier.fit_.network).item() != 1
    assert stated == of_the_command.manifest.training["calibration"]
    assert stated["test"]["after"]["log_loss"] == artifact.manifest.metrics["log_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(("calibrate", "note"), [(True, "Not calibrated: a temp"), (False, None)])
def test_what_was_left_uncalibrated_says_why_and_nothing_where_nobody_tried(
    calibrate, note, tmp_path
):
    samples, targets = load_wine(return_X_y=True)
    classifier = LockstepClassifier(**QUICK, calibrate=calibrate).fit(samples, targets)
    stated = classifier.export(tmp_path, name="wine").manifest.training["calibration"]
    assert (stated and stated["note"][: len(note)]) == note


@pytest.mark.slow
def test_a_regressor_is_exported_with_the_figures_of_the_samples_that_are_given(tmp_path):
    samples, targets = load_diabetes(return_X_y=True)
    regressor = LockstepRegressor(**QUICK).fit(samples[:300], targets[:300])
    artifact = regressor.export(tmp_path, name="d", X=samples[300:], y=targets[300:])
    predicted = regressor.predict(samples[300:])
    assert artifact.manifest.metrics["rows"] == 142
    assert artifact.manifest.metrics["rmse"] == pytest.approx(
        np.sqrt(np.mean((predicted - targets[300:]) ** 2)), rel=1e-5
    )
    served = answers_of(artifact, samples[300:].astype(np.float32))[:, 0]
    assert np.abs(served - predicted).max() < 1e-5 * targets.std()


def answers_of(artifact, features):
    outputs = artifact.manifest.outputs
    engine = open_model(artifact.read("model.onnx"), outputs, threads=1, optimised=True)
    return engine.run(features)[0]


def test_a_sample_alone_is_answered_as_among_others():
    samples, targets = load_diabetes(return_X_y=True)
    regressor = LockstepRegressor(**QUICK).fit(samples, targets)
    alone = np.concatenate([regressor.predict(sample[None]) for sample in samples[:50]])
    assert np.array_equal(alone, regressor.predict(samples)[:50])


def test_it_goes_through_pipelines_grid_searches_and_cross_validation():
    samples, targets = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LockstepClassifier(**QUICK))
    assert len(cross_val_score(pipeline, samples, targets, cv=2)) == 2
    grid = {"lockstepclassifier__hidden": [(4,), (8,)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(samples, targets)
    assert search.best_params_["lockstepclassifier__hidden"] in {(4,), (8,)}


def test_every_setting_is_a_parameter_of_the_same_name():
    settings = {
        name
        for section in ("preprocessing", "network", "training")
        for name in type(getattr(Configuration(), section)).model_fields
    }
    here = set(LockstepClassifier().get_params()) - {"random_state", "validation_fraction"}
    assert settings - here == {"seed", "parting_tolerance"}
    assert here <= settings


def test_parameters_become_settings_and_the_random_state_the_seed():
    regressor = LockstepRegressor(hidden=np.array([8, 4]), dropout=np.float64(0.3), random_state=7)
    configuration = regressor.configuration()
    assert configuration.network.hidden == (8, 4)
    assert configuration.network.dropout == 0.3
    assert configuration.training.seed == 7


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"dropout": 2.0}, "network.dropout must be less than 1"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1"),
        ({"activation": "relo"}, "Did you mean relu"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_in_fit(parameters, sentence):
    samples, targets = load_wine(return_X_y=True)
    with pytest.raises(ValueError, match=sentence):
        LockstepClassifier(**parameters).fit(samples, targets)


def test_a_sample_of_weight_0_is_none():
    samples, targets = load_wine(return_X_y=True)
    weights = (np.arange(len(samples)) % 3 > 0).astype(float)
    weighted = LockstepClassifier(**QUICK).fit(samples, targets, sample_weight=weights)
    without = LockstepClassifier(**QUICK).fit(
        samples[weights > 0], targets[weights > 0], sample_weight=weights[weights > 0]
    )
    assert np.array_equal(weighted.predict_proba(samples), without.predict_proba(samples))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_row_of_a_frame_of_weight_0_is_none(people, kind):
    frame, labels = people
    counted = np.arange(len(frame)) % 3 > 0
    shown = (lambda some: some) if kind == "pandas" else in_polars
    weighted = LockstepClassifier(**QUICK).fit(
        shown(frame), labels, sample_weight=counted.astype(float)
    )
    without = LockstepClassifier(**QUICK).fit(
        shown(frame[counted]), labels[counted], sample_weight=1
    )
    asked = shown(frame)
    assert np.array_equal(weighted.predict_proba(asked), without.predict_proba(asked))


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.ones(9), r"shape \(178,\), got \(9,\)"),
        (np.ones((178, 1)), r"shape \(178,\), got \(178, 1\)"),
        (np.full(178, -1.0), "not be below 0, got -1"),
        (np.full(178, np.nan), "sample_weight contains NaN"),
        (0, "At least 3 samples must have a weight above zero, got 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights, sentence):
    samples, targets = load_wine(return_X_y=True)
    with pytest.raises(ValueError, match=sentence):
        LockstepClassifier(**QUICK).fit(samples, targets, sample_weight=weights)


def test_it_answers_the_same_after_a_pickle():
    samples, targets = load_wine(return_X_y=True)
    classifier = LockstepClassifier(**QUICK).fit(samples, targets)
    again = pickle.loads(pickle.dumps(classifier))  # noqa: S301 - its own
    assert np.array_equal(again.predict_proba(samples), classifier.predict_proba(samples))
    assert clone(classifier).get_params() == classifier.get_params()
