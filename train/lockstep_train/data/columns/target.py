"""The target: what is predicted, as classes or as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.configuration.data import TaskSetting
from lockstep_train.data.columns.cells import as_integers, read_numbers
from lockstep_train.data.columns.precision import check_precision
from lockstep_train.data.dataset import ClassLabel, LearningTask
from lockstep_train.data.table import Table

MOST_NUMBERED_CLASSES = 20
_FEWEST_ROWS_A_CLASS = 3


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        name: the column.
        task: what it is.
        classes: the labels in the order of their index; None for regression.
        values: ``[rows]``, int64 index of the class or float32; of no meaning where none is known.
        known: ``[rows]``, whether there is a value.
        notes: what a person should know about it, in sentences.
    """

    name: str
    task: LearningTask
    classes: tuple[ClassLabel, ...] | None
    values: NDArray[Any]
    known: NDArray[np.bool_]
    notes: tuple[str, ...]


def read_target(table: Table, values: pl.Series, task: TaskSetting) -> Target:
    """Settle what is predicted: words, booleans and few whole numbers are classes.

    Args:
        table: names the rows; labels come from those that are not a test file's.
        values: the column, null where a value is missing.
        task: ``auto``, or what a person has said it is.

    Raises:
        Unreadable: naming the row whose target is neither a label nor a number, or a label that
            the test file alone has.
        InvalidSetting: a single class, labels that differ in nearly every row, or a task that the
            values do not allow.
    """
    labels, notes = _class_labels(table, values)
    seen = labels.head(table.decisive)
    chosen = table.task if task == "auto" and table.task else task
    if chosen == "auto":
        chosen, note = _task(seen)
        notes += (note,) if note else ()
    known = labels.is_not_null()
    missing = int((~known).sum())
    if missing:
        notes += (f"{missing} rows without a value of {values.name}, the target, are left out.",)
    if missing == len(labels):
        raise InvalidSetting(f"{table.name} has no value of {values.name}, the target.")
    if chosen == "regression":
        found = _regression(table, labels)
        return Target(values.name, "regression", None, found, known.to_numpy(), notes)
    classes, indices = _classes(table, labels, values.dtype)
    return Target(values.name, "classification", classes, indices, known.to_numpy(), notes)


def _class_labels(table: Table, values: pl.Series) -> tuple[pl.Series, tuple[str, ...]]:
    """The target as booleans, whole numbers, other numbers or strings."""
    kind = values.dtype
    if isinstance(kind, pl.Decimal):
        values = values.cast(pl.Float64)
    if isinstance(kind, pl.Enum | pl.Categorical):
        values = values.cast(pl.String)
    if not (values.dtype.is_numeric() or values.dtype in {pl.String, pl.Boolean, pl.Null}):
        raise Unreadable(
            f"{table.where(0, values.name)}: expected a label or a number as the target, got "
            f"{kind}; derive a number from it, such as the days since an event."
        )
    notes: tuple[str, ...] = ()
    if values.dtype == pl.String and table.tested is not None:
        values, notes = _without_full_stops(table, values)
    if values.dtype == pl.String and table.text:
        words = values.str.to_lowercase()
        if words.is_in(["true", "false"]).all():
            return words == "true", notes
        found = read_numbers(table, values)
        values = values if found is None else found
    if values.dtype.is_float():
        whole = as_integers(values)
        values = values if whole is None else whole
    return values, notes


def _without_full_stops(table: Table, words: pl.Series) -> tuple[pl.Series, tuple[str, ...]]:
    """The test file's labels without a full stop at the end, where that makes them known ones."""
    known = words.head(table.decisive).unique().implode()
    bare = words.str.strip_suffix(".")
    dotted = ~words.is_in(known) & bare.is_in(known) & words.is_not_null()
    if not dotted.any():
        return words, ()
    stripped = words.zip_with(~dotted, bare)
    example = words[table.first(dotted)]
    note = (
        f"The test file writes {int(dotted.sum())} labels of {words.name} with a full stop at the "
        f"end ({example!r}); it is taken away."
    )
    return stripped, (note,)


def _task(labels: pl.Series) -> tuple[LearningTask, str]:
    if labels.dtype in {pl.String, pl.Boolean}:
        return "classification", ""
    distinct, rows = labels.drop_nulls().n_unique(), labels.count()
    few = distinct <= MOST_NUMBERED_CLASSES and rows >= _FEWEST_ROWS_A_CLASS * distinct
    if labels.dtype.is_integer() and few:
        return "classification", (
            f"The {distinct} different whole numbers of {labels.name} are taken for classes; "
            'set data.task = "regression" to predict a number.'
        )
    return "regression", ""


def _regression(table: Table, labels: pl.Series) -> NDArray[np.float32]:
    if not labels.dtype.is_numeric():
        row = table.first(labels.is_not_null())
        raise Unreadable(
            f"{table.where(row, labels.name)}: expected a number to predict, got {labels[row]!r}; "
            'mend it, or set data.task = "classification".'
        )
    check_precision(table, labels, declared=False)
    if labels.drop_nulls().n_unique() == 1:
        raise InvalidSetting(
            f"{labels.name}, the target, is {labels.drop_nulls()[0]} in every row of {table.name}; "
            "there is nothing to predict."
        )
    found: NDArray[np.float32] = labels.cast(pl.Float64).to_numpy().astype(np.float32)
    return found


def _classes(
    table: Table, labels: pl.Series, given: pl.DataType
) -> tuple[tuple[ClassLabel, ...], NDArray[np.int64]]:
    if labels.dtype.is_float():
        whole = (labels == labels.floor()) & labels.is_finite()
        row = table.first(~whole)
        raise Unreadable(
            f"{table.where(row, labels.name)}: expected a class label (a string, a whole number or "
            f'a boolean), got {labels[row]}; round it, or set data.task = "regression".'
        )
    seen = labels.head(table.decisive).drop_nulls()
    distinct = seen.unique().sort()
    if isinstance(given, pl.Enum):  # whose order somebody has chosen
        present = set(distinct)
        distinct = pl.Series([word for word in given.categories if word in present])
    if len(distinct) < 2:
        raise InvalidSetting(
            f"{labels.name}, the target, is {distinct.to_list()[0]!r} in every row of "
            f"{table.name}; at least two classes are needed."
        )
    if len(distinct) > max(MOST_NUMBERED_CLASSES, len(seen) // 2):
        raise InvalidSetting(
            f"{labels.name}, the target, has {len(distinct)} different labels in {len(seen)} rows "
            f"of {table.name}: too many to learn; predict another column."
        )
    indices = pl.Series(range(len(distinct)), dtype=pl.Int64)
    codes = labels.replace_strict(distinct, indices, default=-1, return_dtype=pl.Int64)
    strange = (codes < 0) & labels.is_not_null()
    if strange.any():
        row = table.first(strange)
        raise Unreadable(
            f"{table.where(row, labels.name)}: expected one of the {len(distinct)} classes of the "
            f"training rows, got {labels[row]!r}; mend it, or leave the row out."
        )
    return tuple(distinct.to_list()), codes.to_numpy()
