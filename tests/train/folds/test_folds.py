import csv

import numpy as np
import polars as pl
import pytest
import torch

from lockstep.artifact.columns import Column
from lockstep.engine.onnx import open_model
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.data.sources.frame import dataset_of
from lockstep_train.evaluate.evaluate import evaluate
from lockstep_train.export.export import export
from lockstep_train.folds.cross_validation import cross_validate, ensemble_of, figure_rows
from lockstep_train.folds.folds import folds_of, judging_folds_of, pooled
from lockstep_train.network.network import Answering

CONFIGURATION = Configuration.model_validate(
    {"network": {"hidden": [8]}, "training": {"epochs": 3, "threads": 1}}
)


@pytest.fixture(scope="module")
def wine():
    return built_in("wine", 0)


@pytest.fixture(scope="module")
def validated(wine):
    return cross_validate(CONFIGURATION, wine, 3)


def drawn(rows=90, groups=None, classes=2):
    """A data set whose rows are numbered by the source, in three parts."""
    draw = np.random.default_rng(0)
    order = draw.permutation(rows)
    features = draw.normal(size=(rows, 2)).astype(np.float32)
    features[:, 1] = np.arange(rows) % 3
    targets = np.arange(rows) % classes
    numbered = None if groups is None else np.arange(rows) % groups

    def part(numbers):
        return Split(
            features[numbers],
            targets[numbers],
            None,
            numbers,
            None if numbered is None else numbered[numbers],
        )

    column = Column(name="b", kind="categorical", vocabulary=("u", "v", "w"), unknown_allowed=True)
    return Dataset(
        name="drawn",
        task="classification",
        columns=(Column(name="a"), column),
        classes=tuple(range(classes)),
        target_name="answer",
        train=part(order[: rows * 3 // 5]),
        validation=part(order[rows * 3 // 5 : rows * 4 // 5]),
        test=part(order[rows * 4 // 5 :]),
    )


@pytest.mark.parametrize("with_test", [True, False])
def test_every_row_is_held_out_once_and_is_in_no_other_part_of_its_fold(with_test):
    dataset = drawn()
    folds = folds_of(CONFIGURATION, dataset, 5, with_test=with_test)
    held_out = np.sort(np.concatenate([fold.dataset.test.rows for fold in folds]))
    allowed = pooled(dataset, with_test=with_test).rows
    assert np.array_equal(held_out, np.sort(allowed))
    for fold in folds:
        parts = [fold.dataset.train, fold.dataset.validation, fold.dataset.test]
        rows = np.concatenate([part.rows for part in parts])
        assert np.array_equal(np.sort(rows), np.sort(allowed))


def test_the_rows_are_in_the_order_of_the_source():
    assert np.array_equal(pooled(drawn(), with_test=True).rows, np.arange(90))


def test_each_class_has_its_share_of_every_fold():
    for fold in folds_of(CONFIGURATION, drawn(classes=3), 5, with_test=True):
        assert set(np.bincount(fold.dataset.test.targets)) == {6}


def test_a_group_stays_whole():
    for fold in folds_of(CONFIGURATION, drawn(groups=12), 4, with_test=True):
        parts = [fold.dataset.train, fold.dataset.validation, fold.dataset.test]
        groups = [set(part.groups) for part in parts]
        assert not groups[0] & groups[1]
        assert not groups[0] & groups[2]
        assert not groups[1] & groups[2]


def test_the_same_seed_deals_the_same_folds():
    one, other = (folds_of(CONFIGURATION, drawn(), 3, with_test=True) for _ in range(2))
    assert all(np.array_equal(a.places, b.places) for a, b in zip(one, other, strict=True))


def test_columns_are_described_by_the_fold_s_own_training_rows():
    dataset = drawn()
    for fold in folds_of(CONFIGURATION, dataset, 3, with_test=True):
        values = fold.dataset.train.features[:, 0].astype(np.float64)
        assert fold.dataset.columns[0].statistics.mean == pytest.approx(values.mean())


def test_a_category_that_the_training_rows_lack_is_an_unknown_one():
    dataset = drawn()
    for part in (dataset.train, dataset.validation, dataset.test):
        part.features[:, 1] = part.rows % 2
    dataset.test.features[0, 1] = 2  # the only row with the third category
    codes = [
        set(fold.dataset.test.features[:, 1])
        for fold in folds_of(CONFIGURATION, dataset, 3, with_test=True)
    ]
    assert sorted(map(max, codes)) == [1.0, 1.0, 3.0]


def test_folds_that_judge_settings_hold_no_test_row():
    dataset = drawn()
    tested = set(dataset.test.rows)
    for judging in judging_folds_of(CONFIGURATION, dataset, 4):
        seen = {*judging.train.rows, *judging.validation.rows}
        assert not seen & tested
        assert len(seen) == 72


@pytest.mark.parametrize(
    ("dataset", "settings", "count", "sentence"),
    [
        (drawn(), {}, 1, "at least 2 folds, got 1"),
        (drawn(rows=10), {}, 11, "has 10 rows, too few for 11 folds"),
        (drawn(groups=3), {}, 4, "has 3 groups, too few for 4 folds"),
        (drawn(), {"data": {"time": "day"}}, 3, "Rows in the order of day have no folds"),
    ],
)
def test_what_cannot_be_dealt_is_refused(dataset, settings, count, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        folds_of(Configuration.model_validate(settings), dataset, count, with_test=True)


def test_a_class_with_fewer_rows_than_folds_is_dealt_all_the_same():
    dataset = drawn(rows=30, classes=15)
    assert len(folds_of(CONFIGURATION, dataset, 3, with_test=True)) == 3


def test_each_metric_has_its_mean_and_deviation_over_the_folds(validated):
    accuracies = [fold.metrics.accuracy for fold in validated.folds]
    mean, deviation = validated.figures["accuracy"]
    assert mean == pytest.approx(np.mean(accuracies))
    assert deviation == pytest.approx(np.std(accuracies, ddof=1))
    assert len(figure_rows(validated)[0]) == 2 + 3


def test_a_row_s_answer_is_that_of_the_network_that_never_saw_it(wine, validated):
    for measured in validated.folds:
        metrics = evaluate(measured.fit.network, measured.fold.dataset.test)
        chosen = validated.answers[measured.fold.places].argmax(axis=1)
        right = chosen == validated.rows.targets[measured.fold.places]
        assert right.mean() == pytest.approx(metrics.accuracy)
    assert len(validated.answers) == sum(
        len(part) for part in (wine.train, wine.validation, wine.test)
    )


def test_the_answers_are_written_in_the_order_of_the_source_s_rows(validated, tmp_path):
    path = tmp_path / "folds.csv"
    validated.write(path)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["row"]) for line in lines] == list(range(1, 179))
    assert {line["fold"] for line in lines} == {"1", "2", "3"}
    for line in lines[:20]:
        shares = {name: float(line[f"probability_{name}"]) for name in validated.dataset.classes}
        assert line["label"] == max(shares, key=shares.get)
        assert line["target"] in shares


def test_answers_that_cannot_be_written_are_refused(validated, tmp_path):
    with pytest.raises(InvalidSetting, match="cannot be written"):
        validated.write(tmp_path / "nowhere" / "folds.csv")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["wine", "diabetes"])
def test_the_folds_networks_are_exported_as_one_that_answers_their_average(source, tmp_path):
    dataset = built_in(source, 0)
    validation = cross_validate(CONFIGURATION, dataset, 2, with_test=False)
    fitted = ensemble_of(validation)
    metrics = evaluate(fitted.network, dataset.test)
    artifact, _ = export(fitted, dataset, metrics, models=tmp_path, name=source)
    rows = dataset.test.features
    one, other = (answers(fold.fit.network, rows) for fold in validation.folds)
    model = artifact.read("model.onnx")
    engine = open_model(model, artifact.manifest.outputs, threads=1, optimised=True)
    assert engine.run(rows)[0] == pytest.approx((one + other) / 2, rel=1e-4, abs=1e-6)
    assert fitted.members == 2


def answers(network, rows):

    with torch.inference_mode():
        return Answering(network).eval()(torch.tensor(rows)).numpy()


def test_a_table_s_groups_and_row_numbers_reach_the_folds():
    draw = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "size": draw.normal(size=60),
            "house": [f"house {i % 15}" for i in range(60)],
            "price": draw.normal(size=60),
        }
    )
    configuration = Configuration.model_validate({"data": {"target": "price", "group": "house"}})
    dataset = dataset_of(frame, configuration)
    houses = frame["house"].to_numpy()
    for fold in folds_of(configuration, dataset, 3, with_test=True):
        parts = (fold.dataset.train, fold.dataset.validation, fold.dataset.test)
        names = [set(houses[part.rows]) for part in parts]
        assert len(set.union(*names)) == sum(map(len, names)) == 15
