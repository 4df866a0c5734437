import os
import tomllib
from itertools import count

import numpy as np
import optuna
import pytest
from rich.console import Console

from lockstep.artifact.columns import Column
from lockstep.errors import InvalidSetting, NotFound, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.tune.command import tune_source, write_study
from lockstep_train.tune.objective import Objective
from lockstep_train.tune.result.plot import draw_study
from lockstep_train.tune.result.settings_file import settings_document
from lockstep_train.tune.result.tables import (
    describe_study,
    influence_rows,
    study_markdown,
    trial_columns,
    trial_rows,
)
from lockstep_train.tune.space.dimension import Choice, Ladder, Range
from lockstep_train.tune.space.space import Space
from lockstep_train.tune.study import Store
from lockstep_train.tune.tune import Plan, tune

pytestmark = pytest.mark.slow


def configured(network=None, **training):
    return Configuration.model_validate(
        {
            "network": {"hidden": [8, 4], **(network or {})},
            "training": {"epochs": 3, "batch_size": 16, "threads": 1, **training},
        }
    )


def rows_of(count, seed):
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 3)).astype(np.float32)
    return Split(features, (features[:, 0] > 0).astype(np.int64))


def dataset_of(seed=0):
    return Dataset(
        name="drawn",
        task="classification",
        columns=tuple(Column(name=name) for name in "abc"),
        classes=("no", "yes"),
        target_name="answer",
        train=rows_of(48, seed),
        validation=rows_of(24, seed + 1),
        test=rows_of(2, seed + 2),
    )


CONFIGURATION = configured()
DATASET = dataset_of()
SPACE = Space(
    CONFIGURATION,
    (
        Range("training.learning_rate", 1e-3, 1e-1, log=True),
        Ladder("network.width", (4, 8, 16)),
        Ladder("network.depth", (1, 2)),
        Choice("preprocessing.numeric", ("standard", "robust")),
    ),
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Studies lie in the folder in which the command is given."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def after(trials):
    """A person who presses Ctrl-C when so many trials are over."""
    over = count(1)

    def on_trial(_):
        if next(over) == trials:
            raise KeyboardInterrupt

    return on_trial


def points(tuning):
    return [dict(attempt.point) for attempt in tuning.attempts]


@pytest.fixture(scope="module")
def tuning(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('study')}/s.db"
    return tune(CONFIGURATION, DATASET, Plan("whole", storage=url, trials=16), space=SPACE)


def test_the_first_trial_is_the_configuration_itself_and_nothing_found_is_worse(tuning):
    first = tuning.attempts[0]
    assert first.given
    assert first == tuning.given
    assert tuning.best.loss <= first.loss
    assert Configuration.model_validate(tuning.configuration.model_dump())


def test_an_interrupted_study_goes_on_as_it_would_have(tuning, here):
    plan = Plan("halved", trials=8)
    first = tune(CONFIGURATION, DATASET, plan, space=SPACE, on_trial=after(3))
    assert first.interrupted
    assert len(first.attempts) == 3
    second = tune(CONFIGURATION, DATASET, plan, space=SPACE)
    assert not second.interrupted
    assert points(second) == points(tuning)[:8]
    assert (here / ".lockstep/studies/halved.db").is_file()


def test_a_study_that_has_its_trials_adds_none(tuning):
    plan = Plan("whole", storage=tuning.storage, trials=16)
    assert points(tune(CONFIGURATION, DATASET, plan, space=SPACE)) == points(tuning)


def test_a_trial_that_a_person_ends_counts_for_nothing():
    study = optuna.create_study()
    epochs = count()
    objective = Objective(SPACE, (DATASET,), stopped=lambda: next(epochs) == 1)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.FAIL


def test_two_processes_share_one_study():
    plan = Plan("shared", trials=3, jobs=2)
    told = []
    tuning = tune(CONFIGURATION, DATASET, plan, space=SPACE, on_trial=told.append)
    assert len(tuning.attempts) == 3
    assert {attempt.number for attempt in told} == {attempt.number for attempt in tuning.attempts}
    assert sum(attempt.given for attempt in tuning.attempts) == 1


def test_a_diverged_trial_is_pruned_with_its_sentence():
    space = Space(CONFIGURATION, (Range("training.learning_rate", 9.9, 10.0),))
    wild = Space(configured(gradient_clip=0.0, weight_decay=100.0), space.dimensions)
    with pytest.raises(InvalidSetting, match=r"None of the 2 trials .* Training diverged at epoch"):
        tune(wild.base, huge(), Plan("wild", trials=2), space=wild)


def huge():
    """Rows that no training of a learning rate of 10 survives."""
    train = rows_of(48, 0)
    return Dataset(
        name="huge",
        task="regression",
        columns=tuple(Column(name=name) for name in "abc"),
        classes=None,
        target_name="answer",
        train=Split(train.features, train.targets.astype(np.float32)),
        validation=Split(np.full((4, 3), 3e38, np.float32), np.ones(4, np.float32)),
        test=Split(train.features, train.targets.astype(np.float32)),
    )


def test_folds_judge_by_their_mean_and_never_see_the_test_rows():
    tuning = tune(CONFIGURATION, DATASET, Plan("folded", trials=2, folds=3), space=SPACE)
    assert tuning.folds == 3
    assert trial_columns(tuning)[1] == "mean loss"


def grid(path, text):
    path.write_text(text)
    return path


def test_a_grid_tries_every_combination_once(here):
    text = """
    [network]
    hidden = [[8, 4], [4]]
    [training]
    learning_rate = [0.01, 0.1]
    """
    space = Space.from_grid(CONFIGURATION, grid(here / "grid.toml", text))
    plan = Plan("grid")
    tune(CONFIGURATION, DATASET, plan, space=space, on_trial=after(2))
    tuning = tune(CONFIGURATION, DATASET, plan, space=space)
    tried = [
        (attempt.values["network.hidden"], attempt.values["training.learning_rate"])
        for attempt in tuning.attempts
        if not attempt.given
    ]
    assert sorted(tried) == [((4,), 0.01), ((4,), 0.1), ((8, 4), 0.01), ((8, 4), 0.1)]
    assert sum(attempt.given for attempt in tuning.attempts) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[network]\ndropuot = [0.1]", "no setting network.dropuot. Did you mean dropout?"),
        ("[netwrok]\ndropout = [0.1]", "no section netwrok. Did you mean network?"),
        ("[data]\ntarget = ['a']", "no section data"),
        ("[training]\nseed = [1, 2]", "no setting training.seed"),
        ("[network]\ndropout = 0.1", "network.dropout must be a list"),
        ("[network]\ndropout = []", "must be a list of at least one value"),
        ("[network]\ndropout = [1.5]", "network.dropout must be less than 1"),
        ("[network]\nhidden = [2024-01-01]", "must list numbers, words"),
        ("network = 1", "network must be a table"),
        ("", "lists no values"),
        (
            "[training]\n"
            + "\n".join(
                f"{name} = {[n + 1 for n in range(30)]}"
                for name in ("epochs", "batch_size", "patience")
            ),
            "has 27000 combinations",
        ),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_in_a_sentence(here, text, sentence):
    path = grid(here / "grid.toml", text)
    with pytest.raises(InvalidSetting) as refused:
        Space.from_grid(CONFIGURATION, path)
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_grid_that_is_not_there_or_no_toml_is_refused(here):
    with pytest.raises(NotFound):
        Space.from_grid(CONFIGURATION, here / "none.toml")
    with pytest.raises(Unreadable):
        Space.from_grid(CONFIGURATION, grid(here / "grid.toml", "[network"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dataset": dataset_of(seed=9)}, "data"),
        ({"space": Space(CONFIGURATION, SPACE.dimensions[1:])}, "search space"),
        ({"configuration": configured(epochs=4)}, "settings"),
        ({"folds": 2}, "folds"),
    ],
)
def test_a_study_of_something_else_is_refused(tuning, change, word):
    configuration = change.get("configuration", CONFIGURATION)
    space = change.get("space", Space(configuration, SPACE.dimensions))
    plan = Plan("whole", storage=tuning.storage, folds=change.get("folds", 1))
    with pytest.raises(InvalidSetting, match=f"is about other {word}, and"):
        tune(configuration, change.get("dataset", DATASET), plan, space=space)


def test_a_database_that_is_none_is_refused(here):
    (here / "spoiled.db").write_bytes(b"no database" * 100)
    with pytest.raises(Unreadable, match="file is not a database"):
        tune(CONFIGURATION, DATASET, Plan("x", storage=f"sqlite:///{here}/spoiled.db"))


def test_a_database_that_does_not_answer_is_refused(here):
    with pytest.raises(Unreadable, match="unable to open database file"):
        tune(CONFIGURATION, DATASET, Plan("x", storage=f"sqlite:///{here}/nowhere/study.db"))


@pytest.mark.parametrize(
    ("storage", "sentence"),
    [
        ("study.db", "must be a database's address"),
        ("postgresql://me:secret@host/studies", "needs a driver that is not installed"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(storage, sentence):
    with pytest.raises(InvalidSetting, match=sentence) as refused:
        tune(CONFIGURATION, DATASET, Plan("x", storage=storage))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "a/b", ".."])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(InvalidSetting, match="must be one word"):
        Store.of(name, None)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"jobs": 0}, {"folds": 0}])
def test_a_number_below_1_is_refused(wrong):
    with pytest.raises(InvalidSetting, match="must be at least 1, got 0"):
        Plan("x", **wrong)


@pytest.mark.parametrize("name", ["found.png", "found.md"])
def test_settings_that_the_picture_or_the_tables_would_overwrite_are_refused(here, name):
    plan = Plan("study", None, 1, 1, 1)
    with pytest.raises(InvalidSetting, match=r"name it found\.toml"):
        tune_source("nowhere.csv", Configuration(), plan, None, here / name, Console())


def test_the_settings_that_are_found_read_back_to_the_same_configuration(tuning, here):
    path = here / "found.toml"
    assert write_study(tuning, path) == here / "found.png"
    assert Configuration.from_toml(path) == Configuration.model_validate(
        tuning.configuration.model_dump(exclude_none=True)
    )
    document = path.read_text()
    assert "# searched" in document
    assert tomllib.loads(document)["training"]["epochs"] == 3
    assert "Passes over the training split" in document
    assert (here / "found.png").read_bytes() == draw_study(tuning)
    assert (here / "found.md").read_text() == study_markdown(tuning)


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_an_interrupted_write_leaves_the_old_file(tuning, here, monkeypatch, ended):
    over, sync = count(), os.fsync

    def interrupted(descriptor):
        if next(over) == ended:
            raise KeyboardInterrupt
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    names = ["found.toml", "found.png", "found.md"]
    for name in names:
        (here / name).write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_study(tuning, here / "found.toml")
    assert [(here / name).read_bytes() == b"old" for name in names] == [
        place >= ended for place in range(3)
    ]
    assert not [path for path in here.iterdir() if path.name not in names]


@pytest.mark.parametrize("suffix", [".toml", ".png", ".md"])
def test_a_file_of_a_study_that_cannot_be_written_is_named(tuning, here, suffix):
    (here / f"found{suffix}").mkdir()
    with pytest.raises(InvalidSetting, match=rf"found\{suffix} cannot be written: Is a directory"):
        write_study(tuning, here / "found.toml")


def test_tables_and_sentences_say_what_was_found(tuning):
    assert f"trial {tuning.best.number}" in describe_study(tuning) or tuning.best.given
    assert len(trial_rows(tuning, most=3)) in {3, 4}
    assert len(trial_columns(tuning)) == len(trial_rows(tuning)[0])
    assert any("as given" in row[0] for row in trial_rows(tuning, most=1))
    assert "| setting | share | direction |" in study_markdown(tuning)
    assert settings_document(tuning).startswith("# Trial")


def test_what_mattered_has_a_share_and_a_direction(tuning):
    shares = [influence.share for influence in tuning.influences]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert {row[0] for row in influence_rows(tuning)} <= {d.name for d in SPACE.dimensions}
    assert all(influence.direction for influence in tuning.influences)


def test_the_picture_is_a_png(tuning):
    assert draw_study(tuning).startswith(b"\x89PNG")


def test_the_default_space_holds_the_configuration_and_every_point_of_it_is_one():
    base = configured({"hidden": [100, 25], "dropout": [0.3, 0.1]}, weight_decay=50.0)
    space = Space.of(base, DATASET)
    given = space.values(space.given())
    assert given["network.width"] == 100
    assert given["training.weight_decay"] == 10.0  # the nearest that is searched
    assert "training.batch_size" not in given  # so few rows allow no other
    assert given["network.dropout"] == 0.3
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        drawn = space.configuration(space.draw(study.ask()))
        assert list(drawn.network.hidden) == sorted(drawn.network.hidden, reverse=True)


def test_a_single_block_gets_no_dropout_before_the_head():
    space = Space(CONFIGURATION, (*SPACE.dimensions, Range("network.dropout", 0.0, 0.6)))
    point = {**space.given(), "network.depth": 0, "network.dropout": 0.5}
    assert space.configuration(point).network.block_dropout == (0.0,)
