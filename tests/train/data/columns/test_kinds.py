"""Kinds of columns: inferred, declared, refused."""

import datetime as dt
import re

import numpy as np
import polars as pl
import pytest

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.data.overview import HEADINGS, overview

N = 60
EVEN = range(N)


def cycle(*values):
    return [values[i % len(values)] for i in EVEN]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([i * 0.37 for i in EVEN], "numeric"),
        (cycle(1, 2, 3), "numeric"),
        (cycle(0, 1), "numeric"),
        (cycle(True, False), "boolean"),
        (cycle(True, False, None), "boolean"),
        (cycle("yes", "no"), "boolean"),
        (cycle("TRUE", "False"), "boolean"),
        (cycle("t", "f", None), "boolean"),
        (cycle("red", "green"), "categorical"),
        (cycle("no", "yes", "maybe"), "categorical"),
        (cycle("1", "2", "XL"), "categorical"),
        (pl.Series(cycle("b", "a"), dtype=pl.Categorical), "categorical"),
        (pl.Series(cycle("1.5", "2.5")).cast(pl.Decimal(5, 2)), "numeric"),
    ],
)
def test_a_kind_is_read_off_the_values(framed, values, kind):
    dataset = framed({"c": values})
    assert [column.kind for column in dataset.columns] == ["numeric", kind]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (cycle("1", "2", "3.5"), "numeric"),
        (cycle("1e3", "-.5", "+2"), "numeric"),
        (cycle("02139", "10001"), "categorical"),
        (cycle("true", "false", ""), "boolean"),
        (cycle("1", "2", "XL"), "categorical"),
    ],
)
def test_a_kind_is_read_off_words(loaded, values, kind):
    lines = [f"{i % 7 / 3},{value},{'ab'[i % 2]}" for i, value in enumerate(values)]
    assert loaded("\n".join(["x,c,y", *lines])).columns[1].kind == kind


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("c", cycle(7), "it is constant (7)"),
        ("c", cycle("same"), "it is constant (same)"),
        ("c", cycle(None), "it holds no value"),
        ("c", list(EVEN), "it only counts the rows"),
        ("c", [N - i for i in EVEN], "it only counts the rows"),
        ("customer_id", [i * i + 1000 for i in EVEN], "it looks like an identifier"),
        ("customerId", [i * i + 1000 for i in EVEN], "it looks like an identifier"),
        ("c", [f"name {i}" for i in EVEN], "other in every row"),
        ("c", [f"name {max(i, 3)}" for i in EVEN], "other in nearly every row"),
    ],
)
def test_what_teaches_nothing_is_left_out_with_a_reason(framed, name, values, reason):
    dataset = framed({name: values})
    assert dataset.column_names == ("x",)
    assert reason in dataset.left_out[name]
    assert any(reason in note and f"[columns] {name}" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (list(EVEN), "numeric"),
        (list(EVEN), "categorical"),
        (cycle(7), "numeric"),
        (cycle(0, 1), "boolean"),
        (cycle("1", "0"), "boolean"),
        (cycle(1.0, 2.0, None), "categorical"),
        (cycle(True, False), "numeric"),
        (cycle("1", "2"), "numeric"),
        ([f"name {i}" for i in EVEN], "categorical"),
    ],
)
def test_a_declared_kind_wins(framed, values, kind):
    dataset = framed({"c": values}, kinds={"c": kind})
    assert dataset.columns[1].kind == kind


def test_numbers_that_differ_and_do_not_count_stay(framed):
    populations = [1000 + i * i * 37 for i in EVEN]
    assert framed({"population": populations}).column_names == ("x", "population")


@pytest.mark.parametrize(
    "values",
    [
        [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in EVEN],
        [dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=i) for i in EVEN],
        [dt.time(i % 24) for i in EVEN],
        [f"2024-01-{i % 28 + 1:02}" for i in EVEN],
        [f"{i % 28 + 1}.01.2024" for i in EVEN],
        [f"2024-01-01T{i % 24:02}:00:00Z" for i in EVEN],
    ],
)
def test_dates_are_refused_with_what_to_derive(framed, values):
    with pytest.raises(
        Unreadable, match=r"frame, row 1, column when: .* date or time .*weekday.*--drop when"
    ):
        framed({"when": values})
    assert framed({"when": values}, drop=("when",)).column_names == ("x",)
    assert framed({"when": values}, time="when").column_names == ("x",)


@pytest.mark.parametrize(
    ("values", "kind", "sentence"),
    [
        ([[1]] * N, None, "row 1, column c: expected a number, a string or a boolean, got List"),
        ([1.0] * 9 + [float("inf")] * 51, None, "row 10, column c: expected a number within"),
        ([1.0] * 9 + [1e39] * 51, None, "row 10, column c: expected a number within"),
        (cycle("1", "2", "x"), "numeric", "row 3, column c: expected a number, got 'x'"),
        (cycle("yes", "no", "x"), "boolean", "row 3, column c: expected true or false, got the"),
        (cycle(0, 1, 2), "boolean", "row 3, column c: expected 0 or 1, got 2"),
        (cycle(1.0, 1.5), "categorical", "row 2, column c: expected a string or a whole number"),
    ],
)
def test_what_a_kind_cannot_hold_is_named_by_row(framed, values, kind, sentence):
    with pytest.raises(Unreadable, match=re.escape(sentence)):
        framed({"c": values}, kinds={"c": kind} if kind else None)


def test_a_column_whose_values_float32_merges_is_refused_with_advice(framed):
    seconds = 1_700_000_000 + np.random.default_rng(0).integers(0, 5_000, 400)
    with pytest.raises(Unreadable, match=r"column c: float32 keeps .* subtract a fixed number"):
        framed({"c": seconds})
    kept = framed({"c": seconds}, kinds={"c": "numeric"})
    assert any("float32 keeps" in note for note in kept.notes)
    assert framed({"c": seconds - 1_700_000_000}).column_names == ("x", "c")


@pytest.mark.parametrize(
    ("kinds", "data", "sentence"),
    [
        ({"cc": "numeric"}, {}, r"\[columns\] names 'cc', which frame does not have"),
        ({"y": "numeric"}, {}, r"\[columns\] gives 'y' a kind, and data.target"),
        ({"c": "numeric"}, {"drop": ("c",)}, r"\[columns\] gives 'c' a kind, and data.drop"),
        ({}, {"weight": "y"}, "data.target and data.weight both name the column 'y'"),
        ({}, {"drop": ("c", "x")}, "no column left"),
        ({}, {"group": "c", "time": "x"}, "give one of the two"),
    ],
)
def test_settings_that_contradict_the_columns_are_refused(framed, kinds, data, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        framed({"c": cycle(1, 2)}, kinds=kinds, **data)


def test_the_overview_shows_every_column_and_what_is_left_out(framed):
    dataset = framed(
        {"word": cycle("a", "b", "a", None), "flag": cycle(True, False), "same": cycle(1)}
    )
    rows = {row[0]: row for row in overview(dataset)}
    assert set(rows) == {"x", "word", "flag", "same"}
    assert all(len(row) == len(HEADINGS) for row in rows.values())
    assert rows["word"][1] == "categorical"
    assert "2 categories: a" in rows["word"][3]
    assert rows["same"][1:] == ("left out", "", "it is constant (1)")
    assert overview(dataset, most=2)[-1][0] == "and 3 more"
