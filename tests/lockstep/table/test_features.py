"""A table to be scored is read as the training read its own."""

import math
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from lockstep.artifact.columns import Column
from lockstep.errors import Unreadable
from lockstep.table.features import read_features

COLUMNS = (
    Column(name="age", missing_allowed=True, missing_words=("?",)),
    Column(
        name="work",
        kind="categorical",
        vocabulary=("private", "state"),
        missing_allowed=True,
        missing_words=("?",),
        unknown_allowed=True,
    ),
    Column(name="member", kind="boolean"),
)
EXPECTED = np.array([[39, 1, 1], [math.nan, math.nan, 0], [50, 2, 0]], np.float32)
MANIFEST = SimpleNamespace(columns=COLUMNS, name="people")


def features(path):
    chunks = read_features(path, MANIFEST, header=True, note=print)
    return np.concatenate(list(chunks))


@pytest.mark.parametrize("separator", [",", ", ", ";", "\t", "|"])
def test_words_are_read_with_any_separator_and_blanks(tmp_path, separator):
    lines = ["age,work,member", "39,state,yes", "?,?,False", "50,other,0"]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines).replace(",", separator))
    np.testing.assert_array_equal(features(path), EXPECTED)


def test_a_frame_may_hold_booleans_decimals_and_categories(tmp_path):
    frame = pl.DataFrame(
        {
            "member": [True, False, False],
            "age": [Decimal("39.0"), None, Decimal("50.0")],
            "work": pl.Series(["state", None, "other"], dtype=pl.Categorical),
        }
    )
    frame.write_parquet(tmp_path / "people.parquet")
    np.testing.assert_array_equal(features(tmp_path / "people.parquet"), EXPECTED)


def test_a_word_that_is_neither_true_nor_false_is_named_by_its_line(tmp_path):
    (tmp_path / "people.csv").write_text("age,work,member\n39,state,yes\n39,state,perhaps\n")
    with pytest.raises(Unreadable, match="line 3, column member: expected true or false"):
        features(tmp_path / "people.csv")
