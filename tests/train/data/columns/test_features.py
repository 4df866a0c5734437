"""Features: the whole column and the single row are encoded alike."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.artifact.columns import Column
from lockstep.artifact.encoding import check_features, encode
from lockstep.errors import Unreadable
from lockstep_train.data.columns.features import encode_column
from lockstep_train.data.table import Table, numbered

N = 60


def cycle(*values):
    return [values[i % len(values)] for i in range(N)]


def table_of(values):
    return Table(name="t", frame=values.to_frame(), place=numbered("t"))


def same(column, values, dtype=None):
    series = pl.Series("c", values, dtype=dtype)
    whole = encode_column(table_of(series), series, column)
    alone = [encode([[value]], [column])[0, 0] for value in values]
    np.testing.assert_array_equal(whole, np.array(alone, np.float32))


@given(st.lists(st.none() | st.floats(width=64, min_value=-1e38, max_value=1e38), min_size=1))
def test_a_column_of_numbers_is_encoded_as_each_of_its_rows(values):
    same(Column(name="c", missing_allowed=True), values, pl.Float64)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_a_column_of_whole_numbers_is_encoded_as_each_of_its_rows(values):
    same(Column(name="c", missing_allowed=True), values, pl.Int64)


@given(st.lists(st.none() | st.sampled_from(["a", "b", " a ", "NA", "", "z", "A"]), min_size=1))
def test_a_column_of_words_is_encoded_as_each_of_its_rows(values):
    column = Column(
        name="c",
        kind="categorical",
        vocabulary=("b", "a"),
        missing_allowed=True,
        unknown_allowed=True,
        missing_words=("NA", ""),
    )
    same(column, values, pl.String)


@given(st.lists(st.none() | st.sampled_from(["yes", "No", " t", "FALSE", "1", "0"]), min_size=1))
def test_a_column_of_truths_is_encoded_as_each_of_its_rows(values):
    same(Column(name="c", kind="boolean", missing_allowed=True), values, pl.String)


@pytest.mark.parametrize("raw", [3, 3.0, "3", " 3"])
def test_a_category_that_is_a_number_is_known_by_its_number_and_its_word(framed, raw):
    dataset = framed({"store": cycle(3, 12, 7)}, kinds={"store": "categorical"})
    column = dataset.columns[1]
    assert set(column.vocabulary) == {"3", "7", "12"}
    assert encode([[0.5, raw]], dataset.columns)[0, 1] == column.codes["3"]


def test_the_vocabulary_is_the_training_rows_own_by_frequency_and_then_by_name(framed):
    part = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    words = ["b", "b", "a", "c"] * 10 + ["late"] * 20
    dataset = framed({"c": words, "part": part}, split="part")
    column = dataset.columns[1]
    assert column.vocabulary == ("b", "a", "c")
    assert column.frequencies == {"b": 0.5, "a": 0.25, "c": 0.25}
    assert column.unknown_allowed
    assert set(dataset.test.features[:, 1]) == {3.0}


def test_a_category_that_training_never_saw_is_refused_where_it_is_set_so(framed):
    part = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    columns = {"c": ["a", "b"] * 20 + ["late"] * 20, "part": part}
    with pytest.raises(Unreadable, match=r"row 41, column c: .* 'late'; .*preprocessing\.unknown"):
        framed(columns, split="part", preprocessing={"unknown": "refuse"})


def test_the_rarest_of_too_many_categories_share_the_code_of_an_unknown_one(framed, monkeypatch):
    monkeypatch.setattr("lockstep_train.data.columns.features.MOST_CATEGORIES", 2)
    words = cycle("a", "a", "a", "b", "b", "c")
    dataset = framed({"c": words})
    column = dataset.columns[1]
    assert column.vocabulary == ("a", "b")
    assert set(dataset.train.features[:, 1]) == {0.0, 1.0, 2.0}
    assert any("Column c has 3 categories: the 2 most frequent" in n for n in dataset.notes)
    with pytest.raises(Unreadable, match="column c: expected at most 2 categories, got 3"):
        framed({"c": words}, preprocessing={"unknown": "refuse"})


def test_statistics_and_frequencies_are_those_of_the_training_rows(framed):
    dataset = framed({"flag": cycle(True, False, False, None)})
    numeric, flag = dataset.columns
    trained = dataset.train.features
    assert numeric.statistics.mean == pytest.approx(trained[:, 0].mean(), rel=1e-5)
    assert flag.frequencies["true"] == pytest.approx(np.nanmean(trained[:, 1]))
    assert sum(flag.frequencies.values()) == pytest.approx(1)


def test_missing_is_allowed_where_training_shows_it(framed):
    part = cycle("train", "validation", "test")
    dataset = framed({"c": [1.5, None] * 30, "part": part}, split="part")
    assert [column.missing_allowed for column in dataset.columns] == [False, True]
    assert np.isnan(dataset.train.features[:, 1]).sum() == 10


def test_held_out_rows_that_the_service_would_refuse_are_left_out_and_said(framed):
    part = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    values = [i / 7 for i in range(57)] + [None] * 3
    dataset = framed({"c": values, "part": part}, split="part")
    assert not dataset.columns[1].missing_allowed
    assert (len(dataset.validation), len(dataset.test)) == (10, 7)
    assert any("3 test rows are left out: a value of c is missing" in n for n in dataset.notes)


def test_a_column_of_which_no_training_row_has_a_value_is_left_out(framed):
    part = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    dataset = framed({"c": [None] * 40 + list(range(20)), "part": part}, split="part")
    assert dataset.column_names == ("x",)
    assert "no training row" in dataset.left_out["c"]


def test_what_comes_out_passes_the_checks_of_a_tensor(framed):
    dataset = framed(
        {"word": cycle("a", "b", None), "flag": cycle("yes", "no"), "number": cycle(1, None, 3, 4)}
    )
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part.features.flags.c_contiguous
        check_features(part.features, dataset.columns)


def test_a_row_of_the_source_is_encoded_by_name_as_it_was_in_training(loaded):
    words = ["x,word,flag,y"]
    words += [
        f"{i / 4},{('red', '?', 'blue')[i % 3]},{('yes', 'no')[i % 2]},{'ab'[i % 2]}"
        for i in range(N)
    ]
    dataset = loaded("\n".join(words))
    raw = {"x": 0.25, "word": "?", "flag": False}
    encoded = encode([raw, {**raw, "word": None, "flag": "no"}], dataset.columns)
    assert encoded[0].tobytes() == encoded[1].tobytes()
    assert math.isnan(encoded[0, 1])
