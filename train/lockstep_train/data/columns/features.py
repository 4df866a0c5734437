"""Features: a table's columns described by the training rows, and encoded all at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lockstep.artifact.columns import Column, FeatureArray, Kind, statistics_of
from lockstep.artifact.encoding import encode
from lockstep.errors import InvalidInstances, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import RowNumbers
from lockstep_train.data.split.parts import Parts
from lockstep_train.data.table import Table

# Categories beyond the most frequent have too few rows each to be learned from.
MOST_CATEGORIES = 1000


@dataclass(frozen=True)
class Feature:
    """One column, described and encoded.

    Attributes:
        column: as the artifact describes it.
        values: ``[rows]``, encoded; NaN where one is missing.
        note: what a person should know about it, as a sentence; empty where there is nothing.
    """

    column: Column
    values: FeatureArray
    note: str = ""


def feature(
    table: Table, values: pl.Series, kind: Kind, trained: RowNumbers, configuration: Configuration
) -> Feature:
    """Describe a column by its training rows, and encode all of its rows.

    Args:
        table: names the rows.
        values: null where one is missing; strings where the kind is categorical.
        kind: of the column.
        trained: numbers of the training rows.
        configuration: what happens to a category that training never saw, and which words mean
            that a value is missing.

    Raises:
        Unreadable: naming the row that holds a value which the kind does not allow.
    """
    seen = values.gather(trained)
    column = Column(name=values.name, kind=kind, missing_allowed=bool(seen.null_count()))
    note = ""
    if kind == "categorical":
        column, note = _with_vocabulary(table, column, seen, configuration)
    if table.text or kind == "categorical":
        words = tuple(word for word in configuration.data.missing if word)
        blank = "" in configuration.data.missing
        column = column.model_copy(update={"missing_words": words, "blank_missing": blank})
    encoded = encode_column(table, values, column)
    if kind != "categorical":
        column = column.model_copy(update={"statistics": statistics_of(encoded[trained])})
    if kind == "boolean" and column.statistics:
        share = column.statistics.mean
        column = column.model_copy(update={"frequencies": {"true": share, "false": 1 - share}})
    return Feature(column, encoded, note)


def encode_column(table: Table, values: pl.Series, column: Column) -> FeatureArray:
    """Encode a whole column; every value becomes what `lockstep.artifact.encoding.encode` makes it.

    Each different value of a categorical or boolean column goes through that one encoder once.

    Args:
        table: names the rows.
        values: null where one is missing.
        column: its description; missing values pass whether or not they are allowed.

    Returns:
        float32 ``[rows]``.

    Raises:
        Unreadable: naming the first row of the first value that cannot be encoded.
    """
    if column.kind == "numeric":
        exact: NDArray[np.float64] = values.cast(pl.Float64).to_numpy()
        return exact.astype(np.float32)
    distinct = values.unique(maintain_order=True)
    lenient = column.model_copy(update={"missing_allowed": True})
    try:
        codes = encode([[value] for value in distinct.to_list()], [lenient])[:, 0]
    except InvalidInstances as error:
        problem = error.problems[0]
        row = table.first(values == distinct[problem.instance])
        raise Unreadable(
            f"{table.where(row, column.name)}: {problem.message}; {_advice(column)}."
        ) from error
    found: FeatureArray = values.replace_strict(
        distinct, pl.Series(codes), return_dtype=pl.Float32
    ).to_numpy()
    return found


def _advice(column: Column) -> str:
    if column.kind == "boolean":
        return f'mend it, or set [columns] {column.name} = "categorical"'
    return (
        "no training row has it: set preprocessing.unknown to code so that it has a code of its "
        "own, or leave the row out"
    )


def _with_vocabulary(
    table: Table, column: Column, seen: pl.Series, configuration: Configuration
) -> tuple[Column, str]:
    """The column with its categories, the most frequent first, equally frequent ones by name."""
    present = seen.drop_nulls()
    counts = present.value_counts(name="count")
    counts = counts.sort(["count", present.name], descending=[True, False])
    unknown_allowed = configuration.preprocessing.unknown == "code"
    note = ""
    if len(counts) > MOST_CATEGORIES:
        if not unknown_allowed:
            raise Unreadable(
                f"{table.name}, column {column.name}: expected at most {MOST_CATEGORIES} "
                f"categories, got {len(counts)}; set preprocessing.unknown to code, so that the "
                f"rarest share one code, or leave the column out with --drop {column.name}."
            )
        rows = int(counts["count"][MOST_CATEGORIES:].sum())
        note = (
            f"Column {column.name} has {len(counts)} categories: the {MOST_CATEGORIES} most "
            f"frequent are kept, and the others ({rows} of {len(seen)} training rows) share the "
            "code of a category never seen."
        )
    kept = counts.head(MOST_CATEGORIES)
    words = tuple(kept[present.name].to_list())
    shares = (kept["count"] / max(1, len(present))).to_list()
    described = column.model_copy(
        update={
            "vocabulary": words,
            "unknown_allowed": unknown_allowed,
            "frequencies": dict(zip(words, shares, strict=True)),
        }
    )
    return described, note


def without_unanswerable(
    features: FeatureArray, columns: tuple[Column, ...], parts: Parts
) -> tuple[Parts, list[str]]:
    """The parts without held-out rows in which a value is missing that training never missed.

    The service refuses such a row, since training could not show what its absence means: it is
    neither measured nor stopped on.

    Args:
        features: ``[rows, d]``.
        columns: the ``d`` columns.
        parts: the rows of each part.

    Returns:
        the parts, and a sentence on each one that lost rows.
    """
    refusing = [j for j, column in enumerate(columns) if not column.missing_allowed]
    absent = np.zeros(len(features), bool)
    reasons: dict[str, None] = {}
    held_out = np.concatenate([parts.validation, parts.test])
    for j in refusing:
        missing = np.isnan(features[:, j])
        if missing[held_out].any():
            reasons[columns[j].name] = None
            absent |= missing
    notes = [
        f"{int(absent[rows].sum())} {name} rows are left out: a value of {', '.join(reasons)} is "
        "missing there, which no training row shows, so that the service refuses such rows."
        for name, rows in parts.named()
        if absent[rows].any()
    ]
    kept = {name: rows[~absent[rows]] for name, rows in parts.named()}
    return Parts(**kept), notes
