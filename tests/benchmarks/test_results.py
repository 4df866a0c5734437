"""What `make results` could get wrong: folds, runs that are kept, peers, bounds, the page."""

import json
import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.results import run as program
from benchmarks.results.ablation import TAKEN_AWAY, ablation_arms, fit_to_the_end, without
from benchmarks.results.bounds import Spread, Verdict, verdicts
from benchmarks.results.folds import Fold
from benchmarks.results.page import Results, page
from benchmarks.results.peers import BOOSTING, LOGISTIC, MLP, fit_whole, peer_arms, peers_of
from benchmarks.results.runs import Arm, Measured, Run, Runs
from benchmarks.results.served import LOCKSTEP, completed, figures_of, lockstep_arm
from benchmarks.results.sources import CALIFORNIA_COLUMNS, SOURCES, california_frame
from lockstep.errors import Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.load import load
from lockstep_train.evaluate.evaluate import evaluate, log_probabilities
from lockstep_train.pipeline import train
from mixed import mixed_dataset

pytestmark = pytest.mark.slow

QUICK = {"network": {"hidden": [16, 8]}, "training": {"epochs": 3}}
BY_NAME = {source.name: source for source in SOURCES}


def fold_of(name, settings=QUICK):
    configuration = Configuration.model_validate(settings)
    return Fold.of(name, configuration, load(name, configuration))


@pytest.fixture(scope="module")
def wine_fold():
    return fold_of("wine")


@pytest.fixture(scope="module")
def mixed_fold():
    return Fold.of("mixed", Configuration.model_validate(QUICK), mixed_dataset())


def arm(measure, **settings):
    return Arm("peer", "a peer", settings, measure)


def measured(value=0.5):
    return Measured({"accuracy": value}, 1.0, {"warnings": []})


def runs(name, *values, group="peer", figure="accuracy", **facts):
    facts = {"warnings": [], "difference": 1e-7, "proof_s": 1.0, "precision": "exact", **facts}
    return [
        Run("wine", seed, group, name, "", {figure: value}, 1.0, facts, created="2026-01-01")
        for seed, value in enumerate(values)
    ]


# Runs that are kept


def test_a_run_is_measured_once(wine_fold, tmp_path):
    asked = []
    one = arm(lambda: asked.append(1) or measured())
    first, known = Runs(tmp_path).take(wine_fold, one)
    again, known_again = Runs(tmp_path).take(wine_fold, one)
    assert (known, known_again, asked) == (False, True, [1])
    assert again == first


@pytest.mark.parametrize("change", ["settings", "rows", "seed"])
def test_what_changed_is_measured_anew(wine_fold, tmp_path, change):
    Runs(tmp_path).take(wine_fold, arm(measured, trees=100))
    other = {
        "settings": (wine_fold, arm(measured, trees=101)),
        "rows": (replace(wine_fold, digest="another"), arm(measured, trees=100)),
        "seed": (replace(wine_fold, seed=1), arm(measured, trees=100)),
    }
    _, known = Runs(tmp_path).take(*other[change])
    assert not known


def test_an_interrupted_run_leaves_nothing(wine_fold, tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Runs(tmp_path).take(wine_fold, arm(interrupted))
    assert not list(tmp_path.rglob("*.json"))


def test_a_damaged_run_is_refused_with_advice(wine_fold, tmp_path):
    Runs(tmp_path).take(wine_fold, arm(measured))
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text()[:-20])
    with pytest.raises(Unreadable, match="remove it"):
        Runs(tmp_path).take(wine_fold, arm(measured))


def test_the_digest_of_a_fold_is_that_of_all_its_parts(wine_fold):
    assert fold_of("wine").digest == wine_fold.digest
    test = wine_fold.dataset.test
    moved = replace(wine_fold.dataset, test=replace(test, features=test.features + 1))
    assert Fold.of("wine", wine_fold.configuration, moved).digest != wine_fold.digest


# Lockstep's own runs


def test_the_figures_are_those_of_the_served_artifact(wine_fold):
    run = lockstep_arm(wine_fold).measure()
    assert 0 < run.facts["difference"] < 1e-5
    assert run.figures == pytest.approx(run.facts["eager"], abs=1e-5)
    assert len(run.facts["artifact"]) == 64


def test_the_settings_of_a_run_name_no_path(mixed_fold):
    assert "data" not in lockstep_arm(mixed_fold).settings


def test_half_a_fit_is_no_measurement(wine_fold):
    trained = train(wine_fold.configuration, wine_fold.dataset)
    assert completed(trained) is trained
    with pytest.raises(KeyboardInterrupt):
        completed(replace(trained, fit=replace(trained.fit, interrupted=True)))


def test_every_model_is_measured_by_the_same_rule(wine_fold):
    trained = train(wine_fold.configuration, wine_fold.dataset)
    dataset = wine_fold.dataset
    probabilities = np.exp(log_probabilities(trained.fit.network, dataset.test))
    same = evaluate(trained.fit.network, dataset.test).as_dict()
    assert figures_of(probabilities, dataset).as_dict() == pytest.approx(same)


def test_a_probability_of_nought_costs_much_and_not_everything(wine_fold):
    dataset = wine_fold.dataset
    wrong = np.eye(3)[(dataset.test.targets + 1) % 3]
    assert figures_of(wrong, dataset).log_loss == pytest.approx(36.04, abs=0.01)


# The peers


@pytest.mark.parametrize("regression", [False, True])
def test_the_peers_take_missing_values_and_unknown_categories(regression):
    dataset = mixed_dataset(regression=regression)
    place = next(j for j, column in enumerate(dataset.columns) if column.kind == "categorical")
    features = dataset.test.features.copy()
    features[:3, place] = dataset.columns[place].largest_code
    dataset = replace(dataset, test=replace(dataset.test, features=features))
    fold = Fold.of("mixed", Configuration.model_validate(QUICK), dataset)
    arms = peer_arms(fold)
    assert len(arms) == 5
    for peer in arms:
        assert all(np.isfinite(value) for value in peer.measure().figures.values()), peer.name


def test_a_peer_learns_from_the_training_and_the_validation_rows_alone(wine_fold, monkeypatch):
    seen = []
    fit = fit_whole
    monkeypatch.setattr(
        "benchmarks.results.peers.fit_whole",
        lambda model, features, targets: (
            seen.append((features, targets)) or fit(model, features, targets)
        ),
    )
    dataset = wine_fold.dataset
    peer_arms(wine_fold)[0].measure()
    features, targets = seen[0]
    assert len(features) == len(targets) == len(dataset.train) + len(dataset.validation)
    known = {row.tobytes() for row in features}
    assert not {row.tobytes() for row in dataset.test.features} & known


def test_an_interrupted_peer_is_no_measurement(wine_fold, monkeypatch):
    """scikit-learn's MLP swallows Ctrl-C, and would pass for fitted."""
    model = peers_of(wine_fold)[MLP]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model[-1]), "_backprop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_whole(model, wine_fold.dataset.train.features, wine_fold.dataset.train.targets)


def test_every_parameter_of_a_peer_decides_its_digest(wine_fold):
    settings = {peer.name: peer.settings for peer in peer_arms(wine_fold)}
    assert settings[MLP]["mlpclassifier__hidden_layer_sizes"] == "(16, 8)"
    assert settings[BOOSTING]["random_state"] == "0"
    assert settings[LOGISTIC]["logisticregression__max_iter"] == "1000"
    json.dumps(settings)


# The ablation


def test_what_a_network_does_not_have_is_not_taken_away(wine_fold, mixed_fold):
    names = {peer.name for peer in ablation_arms(wine_fold)}
    assert names == {"dropout", "BatchNorm", "weight decay", "early stopping", "calibration"}
    embedded = without(mixed_fold.configuration, {"network": {"embedding_dropout": 0.1}})
    assert "dropout of embeddings" in {
        peer.name for peer in ablation_arms(replace(mixed_fold, configuration=embedded))
    }
    assert "dropout of embeddings" not in {
        peer.name for peer in ablation_arms(replace(wine_fold, configuration=embedded))
    }


def test_a_regression_has_no_calibration_to_take_away():
    assert "calibration" not in {peer.name for peer in ablation_arms(fold_of("diabetes"))}


@pytest.mark.parametrize("name", TAKEN_AWAY)
def test_an_arm_changes_what_it_takes_away_and_nothing_else(name, mixed_fold):
    full = mixed_fold.configuration.model_dump()
    changed = without(mixed_fold.configuration, TAKEN_AWAY[name]).model_dump()
    different = {
        (section, setting)
        for section, values in full.items()
        for setting, value in values.items()
        if changed[section][setting] != value
    }
    taken = {(section, key) for section, keys in TAKEN_AWAY[name].items() for key in keys}
    assert different <= taken


def test_without_early_stopping_the_last_epoch_is_kept(wine_fold):
    configuration = without(
        wine_fold.configuration, {"training": {"patience": 0, "epochs": 6, "learning_rate": 1.0}}
    )
    fitted = fit_to_the_end(configuration, wine_fold.dataset)
    assert fitted.best_epoch < len(fitted.history)
    loss = evaluate(fitted.network, wine_fold.dataset.validation).as_dict()["log_loss"]
    assert loss == pytest.approx(fitted.history[-1].validation_loss, rel=1e-5)
    assert not fitted.network.training


# Bounds


@pytest.mark.parametrize(
    ("figure", "reached", "bound", "met"),
    [
        ("accuracy", 0.91, 0.91, True),
        ("accuracy", 0.90999, 0.91, False),
        ("rmse", 0.4414, 0.4414, True),
        ("rmse", 0.44141, 0.4414, False),
    ],
)
def test_a_bound_is_met_by_the_mean_before_it_is_rounded(figure, reached, bound, met):
    assert Verdict("data", figure, Spread(reached, 0.1, 5), bound).is_met is met


@pytest.mark.parametrize(
    ("source", "figure", "peer", "bound"),
    [
        ("wine", "accuracy", (0.9, 0.92, 0.94), 0.90),
        ("diabetes", "rmse", (54.0, 55.0, 56.0), 56.0),
    ],
)
def test_a_small_data_set_is_held_to_the_best_peer_and_its_deviation(source, figure, peer, bound):
    worse = {"accuracy": (0.5, 0.9), "rmse": (70.0, 90.0)}[figure]
    arms = {
        LOCKSTEP: runs(LOCKSTEP, *peer, group="lockstep", figure=figure),
        MLP: runs(MLP, *peer, figure=figure),
        LOGISTIC: runs(LOGISTIC, *worse, figure=figure),
        BOOSTING: runs(BOOSTING, *reversed(worse), figure=figure),
    }
    (verdict,) = verdicts(BY_NAME[source], arms)
    assert verdict.bound == pytest.approx(bound)
    assert verdict.is_met
    assert MLP in verdict.reason


def test_without_peers_a_small_data_set_has_no_verdict():
    assert verdicts(BY_NAME["wine"], {LOCKSTEP: runs(LOCKSTEP, 0.9, group="lockstep")}) == []


def test_a_data_set_of_two_bounds_is_held_to_both():
    ours = runs(LOCKSTEP, 0.9, group="lockstep")
    figures = {"accuracy": 0.86, "roc_auc": 0.9}
    both = [replace(run, figures=figures) for run in ours]
    found = verdicts(BY_NAME["adult"], {LOCKSTEP: both})
    assert [(verdict.figure, verdict.is_met) for verdict in found] == [
        ("accuracy", True),
        ("roc_auc", False),
    ]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_a_spread_is_that_of_the_sample(values):
    found = Spread.of(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))


# The page


def test_the_page_states_bounds_models_and_the_ablation():
    results = Results(BY_NAME["wine"])
    ours = runs(LOCKSTEP, 0.9, 0.8, group="lockstep", eager={"accuracy": 0.9, "log_loss": 0.2})
    for run in [*ours, *runs(MLP, 0.95, 0.93)]:
        results.add(run)
    for run in runs("dropout", 0.7, group="ablation"):
        results.add(replace(run, figures={"accuracy": 0.7, "log_loss": 0.5}))
    text = page([results], ["adult is skipped: no folder."])
    assert "| wine | accuracy | 0.8500 ± 0.0707 | ≥ 0.9259 (MLP 0.9400 ± 0.0141) |" in text
    assert "**missed**" in text
    assert "| MLP | 0.9400 ± 0.0141 | 2 | 1.0 (proof: 1.0) |" in text
    assert "| dropout | 0.7000 | -0.2000 | 0.5000 | +0.3000 |" in text
    assert "adult is skipped" in text
    assert "1.0e-07 of a probability" in text
    assert "| wine | accuracy | 1.0e-01 | 7.1e-02 | **missed** |" in text


@pytest.fixture
def quick_program(tmp_path, monkeypatch):
    """The program with models that take no time, and with a folder of its own."""
    path = tmp_path / "results.md"
    path.write_text(f"Before.\n{program.BEGIN}\nold\n<!-- benchmark: end -->\nAfter.\n")
    facts = {"warnings": [], "difference": 0.0, "proof_s": 1.0, "eager": {"accuracy": 0.5}}
    quick = {
        group: lambda _, group=group, name=name: [
            Arm(group, name, {}, lambda: Measured({"accuracy": 0.5}, 1.0, facts))
        ]
        for group, name in (("lockstep", LOCKSTEP), ("peer", MLP))
    }
    monkeypatch.setattr(program, "ROOT", tmp_path)
    monkeypatch.setattr(program, "PAGE", path)
    monkeypatch.setattr(program, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(program, "ARMS", quick)
    monkeypatch.setattr(program, "SOURCES", (replace(BY_NAME["wine"], seeds=2, peer_seeds=1),))
    return path


def test_a_whole_measurement_writes_the_page_between_its_markers(quick_program, capsys):
    assert program.main([]) == 0
    text = quick_program.read_text()
    assert text.startswith(f"Before.\n{program.BEGIN}\n")
    assert text.endswith("<!-- benchmark: end -->\nAfter.\n")
    assert "old" not in text
    assert f"| {LOCKSTEP} | 0.5000 ± 0.0000 | 2 |" in text
    assert f"| {MLP} | 0.5000 | 1 |" in text
    assert "1 of 1 bounds met" in capsys.readouterr().out


def test_where_nothing_can_be_measured_the_reason_is_given(quick_program, monkeypatch, capsys):
    monkeypatch.delenv("LOCKSTEP_DATA", raising=False)
    monkeypatch.setattr(program, "SOURCES", (BY_NAME["adult"],))
    assert program.main([]) == 0
    assert "adult is skipped" in capsys.readouterr().out
    assert "old" in quick_program.read_text()


@pytest.mark.parametrize("words", [["--seeds", "1"], ["--groups", "peer"]])
def test_a_part_is_printed_and_the_page_is_left_alone(words, quick_program, capsys):
    assert program.main(words) == 0
    assert "old" in quick_program.read_text()
    assert "left as it is" in capsys.readouterr().out


def test_ctrl_c_keeps_the_runs_that_are_over(quick_program, monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    stopped = {**program.ARMS, "peer": lambda _: [Arm("peer", MLP, {}, interrupted)]}
    monkeypatch.setattr(program, "ARMS", stopped)
    assert program.main([]) == program.INTERRUPTED
    assert "every run that was over is kept" in capsys.readouterr().out
    kept = [json.loads(path.read_text()) for path in program.RUNS.rglob("*.json")]
    assert [run["arm"] for run in kept] == [LOCKSTEP]
    assert "old" in quick_program.read_text()


# The data sets


@pytest.mark.parametrize("name", ["fashion_mnist", "adult", "california"])
def test_a_data_set_that_is_not_there_is_skipped_with_the_reason(name, monkeypatch, tmp_path):
    monkeypatch.delenv("LOCKSTEP_DATA", raising=False)
    assert "LOCKSTEP_DATA names no folder" in BY_NAME[name].absent
    monkeypatch.setenv("LOCKSTEP_DATA", str(tmp_path))
    assert BY_NAME[name].folder in BY_NAME[name].absent
    assert BY_NAME["wine"].absent is None


def test_the_features_of_california_are_those_of_scikit_learn():
    raw = (-122.23, 37.88, 41.0, 880.0, 129.0, 322.0, 126.0, 8.3252, 452600.0)
    frame = california_frame(pl.DataFrame([raw], schema=list(CALIFORNIA_COLUMNS), orient="row"))
    first = (8.3252, 41.0, 6.98412698, 1.02380952, 322.0, 2.55555556, 37.88, -122.23, 4.526)
    assert frame.row(0) == pytest.approx(first)


@pytest.mark.skipif("LOCKSTEP_DATA" not in os.environ, reason="LOCKSTEP_DATA is not set")
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("adult", [26560, 6001, 16281]), ("california", [13209, 3302, 4129])],
)
def test_a_protocol_parts_its_rows(name, sizes):
    fold = BY_NAME[name].fold(1)
    dataset = fold.dataset
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == sizes
    assert fold.configuration.training.seed == 1
    assert fold.configuration.network.members > 1  # the data's size decides what nobody set
