"""Cells: which words mean that a value is missing, and which spell numbers."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from lockstep.errors import Unreadable
from lockstep.table.cell import BLANKS
from lockstep_train.data.table import Table

# A number that starts so is a code, such as a postal one: as a number it would lose its zeros.
_LEADING_ZERO = r"^0\d+$"


def without_missing(values: pl.Series, missing: Sequence[str]) -> pl.Series:
    """The same values, with null for NaN and for words that mean missing; words without blanks."""
    if values.dtype.is_float():
        return values.fill_nan(None)
    if values.dtype != pl.String:
        return values
    words = values.str.strip_chars(BLANKS)
    marked = words.is_in(list(missing))
    if not marked.any():
        return words
    return words.to_frame().select(pl.when(~marked).then(pl.first())).to_series()


def read_numbers(table: Table, words: pl.Series, *, declared: bool = False) -> pl.Series | None:
    """The numbers that words spell; None where a row outside the test file spells none.

    Args:
        table: says which rows are those of a test file, and names them.
        words: a column of strings, null where one is missing.
        declared: whether a person has said that they are numbers.

    Returns:
        Whole numbers where all are, else float64.

    Raises:
        Unreadable: naming the first cell that is no number, where the column is declared to hold
            numbers or only the test file has such a cell.
    """
    decisive = table.decisive
    # Most columns of words show early that they are no numbers; reading all of one costs time.
    if not declared:
        first = words.head(min(1000, decisive))
        if first.cast(pl.Float64, strict=False).null_count() > first.null_count():
            return None
    read = words.cast(pl.Float64, strict=False)
    strange = read.is_null() & words.is_not_null()
    if strange.any():
        row = table.first(strange)
        if row >= decisive or declared:
            raise Unreadable(
                f"{table.where(row, words.name)}: expected a number, got {words[row]!r}; mend it, "
                "or add the word to data.missing if it means that the value is missing."
            )
        return None
    read = read.fill_nan(None)  # spelled in a way that data.missing does not list
    if not (read == read.floor()).all():
        return read
    if not declared and words.str.contains(_LEADING_ZERO).any():
        return None
    whole = words.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == words.null_count() else read


def as_integers(values: pl.Series) -> pl.Series | None:
    """Numbers as integers, where each of them is a whole one that float64 holds; else None."""
    if values.dtype.is_integer():
        return values
    finite = values.is_finite() | values.is_null()
    if not finite.all() or not ((values == values.floor()) & (values.abs() <= 2.0**53)).all():
        return None
    return values.cast(pl.Int64)
