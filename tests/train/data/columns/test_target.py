"""The target: classes or a number, and rows that have none."""

import re

import numpy as np
import polars as pl
import pytest

from lockstep.errors import InvalidSetting, Unreadable

N = 60
SPREAD = np.random.default_rng(0).normal(size=N).tolist()


def cycle(*values):
    return [values[i % len(values)] for i in range(N)]


def parts_of(dataset):
    return dataset.train, dataset.validation, dataset.test


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (cycle("b", "a"), "classification", ("a", "b")),
        (cycle(True, False), "classification", (False, True)),
        (cycle(3, 1), "classification", (1, 3)),
        (cycle(3.0, 1.0), "classification", (1, 3)),
        (cycle(0.5, 1.0), "regression", None),
        ([float(i * i) for i in range(N)], "regression", None),
        ([i % 30 for i in range(N)], "regression", None),
        (pl.Series(cycle("b", "a"), dtype=pl.Enum(["c", "b", "a"])), "classification", ("b", "a")),
    ],
)
def test_what_is_predicted_is_read_off_the_values(framed, target, task, classes):
    dataset = framed({"y": target})
    assert (dataset.task, dataset.classes) == (task, classes)
    labels = dataset.classes or ()
    assert [type(label) for label in labels] == [type(label) for label in classes or ()]
    kind = np.int64 if labels else np.float32
    assert {part.targets.dtype.type for part in parts_of(dataset)} == {kind}


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        (("yes", "no"), ("no", "yes")),
        (("True", "false"), (False, True)),
        (("10", "9"), (9, 10)),
        (("1.0", "2.0"), (1, 2)),
        (("0.5", "2.0"), None),
    ],
)
def test_the_target_of_a_text_is_read_off_its_words(loaded, words, classes):
    lines = [f"{value},{words[i % 2]}" for i, value in enumerate(SPREAD)]
    dataset = loaded("\n".join(["x,y", *lines]))
    assert dataset.classes == classes
    assert [type(label) for label in dataset.classes or ()] == [type(c) for c in classes or ()]


def test_whole_numbers_taken_for_classes_are_said_and_can_be_predicted_as_numbers(framed):
    stars = cycle(1, 2, 3, 4, 5)
    assert any(
        "5 different whole numbers of y are taken for classes" in n
        for n in framed({"y": stars}).notes
    )
    dataset = framed({"y": stars}, task="regression")
    assert dataset.task == "regression"
    assert not any("classes" in note for note in dataset.notes)


def test_many_whole_numbers_can_be_taken_for_classes(framed):
    assert len(framed({"y": [i % 25 for i in range(N)]}, task="classification").classes) == 25


def test_rows_without_a_target_are_left_out_and_counted(framed):
    dataset = framed({"y": cycle("a", "b", None)})
    assert sum(map(len, parts_of(dataset))) == 40
    assert any("20 rows without a value of y" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("target", "task", "error", "sentence"),
    [
        (cycle("a"), "auto", InvalidSetting, "is 'a' in every row of frame; at least two classes"),
        (cycle(1.5), "auto", InvalidSetting, "is 1.5 in every row of frame; there is nothing"),
        (cycle(None), "auto", InvalidSetting, "frame has no value of y"),
        ([f"n{i}" for i in range(N)], "auto", InvalidSetting, "60 different labels in 60 rows"),
        (cycle("a", "b"), "regression", Unreadable, "row 1, column y: expected a number to pred"),
        (cycle(1.0, 2.5), "classification", Unreadable, "row 2, column y: expected a class label"),
        ([1.0, float("inf")] * 30, "auto", Unreadable, "row 2, column y: expected a number within"),
        ([[1]] * N, "auto", Unreadable, "row 1, column y: expected a label or a number"),
        ([1e9 + i / 9 for i in range(N)], "auto", Unreadable, "column y: float32 keeps"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused(framed, target, task, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        framed({"y": target}, task=task)


def table_of(labels):
    return "\n".join(["x,y", *(f"{SPREAD[i]},{label}" for i, label in enumerate(labels))])


def test_full_stops_are_taken_off_the_labels_of_a_test_file_where_that_makes_them_known(
    loaded, tmp_path
):
    (tmp_path / "test.csv").write_text(table_of(cycle("<=50K.", ">50K.")[:10]))
    dataset = loaded(table_of(cycle("<=50K", ">50K")), test=str(tmp_path / "test.csv"))
    assert dataset.classes == ("<=50K", ">50K")
    assert len(dataset.test) == 10
    assert any("10 labels of y with a full stop" in note for note in dataset.notes)


def test_a_label_that_the_test_file_alone_has_is_named_by_its_line(loaded, tmp_path):
    (tmp_path / "test.csv").write_text(table_of(["a", "b", "c."]))
    with pytest.raises(Unreadable, match=r"test\.csv, line 4, column y: .* 2 classes .* got 'c\.'"):
        loaded(table_of(cycle("a", "b")), test=str(tmp_path / "test.csv"))


def test_imbalance_is_said_with_shares_and_advice(framed):
    notes = " ".join(framed({"y": ["rare"] * 6 + ["often"] * 54}).notes)
    assert "imbalanced ('rare' " in notes
    assert 'training.class_weight = "balanced"' in notes
    assert "imbalanced" not in " ".join(framed({"y": cycle("a", "b")}).notes)
