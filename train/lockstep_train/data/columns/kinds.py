"""Kinds of columns: inferred from what they hold, or as a person has declared them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from lockstep.artifact.columns import TRUTHS, Kind
from lockstep.errors import Unreadable
from lockstep_train.data.columns.cells import as_integers, read_numbers
from lockstep_train.data.columns.precision import check_precision
from lockstep_train.data.table import Table

# Fewer rows may all differ by chance.
FEWEST_KEYS = 20
FEWEST_UNNAMED_KEYS = 1000
# Fewer different numbers beside a word may well be names, as sizes and floors are.
FEWEST_SPOILED = 10
_KEY_NAME = re.compile(
    r"(^|[_\s.-])(id|key|uuid|guid|index|idx|row|no|nr|number)$|[a-z]I[dD]$", re.ASCII
)
_TRUTHS = frozenset(TRUTHS) - {"0", "1"}
_DATE = (
    r"^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?$"
    r"|^\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([ T].*)?$"
    r"|^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?$"
)
_DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
_MOSTLY = 0.8


@dataclass(frozen=True)
class Typed:
    """A column whose kind is settled.

    Attributes:
        values: numbers, booleans or strings; null where one is missing.
        kind: None where the column is left out.
        reason: why it is left out.
        note: what a person should know about it, as a sentence; empty where there is nothing.
    """

    values: pl.Series
    kind: Kind | None
    reason: str = ""
    note: str = ""


def settle_kind(table: Table, values: pl.Series, declared: Kind | None) -> Typed:
    """Settle the kind of a column.

    Args:
        table: which names the rows; those of its test file do not decide.
        values: one of its columns, null where a value is missing.
        declared: the kind that a person has set.

    Raises:
        Unreadable: naming the row and the column that a network cannot take, with advice.
    """
    values = _of_simple_type(table, values)
    seen = values.head(table.decisive)
    if seen.null_count() == len(seen):
        return Typed(values, None, "it holds no value")
    if declared is None and _is_constant(seen):
        return Typed(values, None, f"it is constant ({seen[0]})")
    return _infer(table, values) if declared is None else _declared(table, values, declared)


def _is_constant(seen: pl.Series) -> bool:
    """Whether a column holds one value, a missing one being a value like any other."""
    return not seen.null_count() and bool((seen == seen[0]).all())


def _declared(table: Table, values: pl.Series, kind: Kind) -> Typed:
    if kind == "categorical":
        return Typed(_categories(table, values), kind)
    if kind == "boolean":
        return Typed(values, kind)
    if values.dtype == pl.String:
        found = read_numbers(table, values, declared=True)
        values = values if found is None else found
    if values.dtype == pl.Boolean:
        values = values.cast(pl.Int8)
    return Typed(values, kind, note=check_precision(table, values, declared=True))


def _infer(table: Table, values: pl.Series) -> Typed:
    if values.dtype == pl.String and table.text:
        found = read_numbers(table, values)
        values = values if found is None else found
    seen = values.head(table.decisive)
    if values.dtype == pl.Boolean:
        return Typed(values, "boolean")
    if values.dtype == pl.String:
        return _settle_words(table, values, seen)
    if reason := _key(seen):
        return Typed(values, None, reason)
    return Typed(values, "numeric", note=check_precision(table, values, declared=False))


def _of_simple_type(table: Table, values: pl.Series) -> pl.Series:
    """The same values in one of few types."""
    kind = values.dtype
    if kind.is_temporal():
        raise _date(table, values, str(values.drop_nulls().head(1).to_list()))
    if isinstance(kind, pl.Enum | pl.Categorical):
        return values.cast(pl.String)
    if isinstance(kind, pl.Decimal):
        return values.cast(pl.Float64)
    if kind.is_numeric() or kind in {pl.String, pl.Boolean, pl.Null}:
        return values
    row = table.first(values.is_not_null())
    raise Unreadable(
        f"{table.where(row, values.name)}: expected a number, a string or a boolean, got {kind}; "
        f"take it apart into columns, or leave it out with --drop {values.name}."
    )


def _date(table: Table, values: pl.Series, shown: str) -> Unreadable:
    row = table.first(values.is_not_null())
    return Unreadable(
        f"{table.where(row, values.name)}: expected a number, a category or a boolean, got the "
        f"date or time {shown.strip('[]')}; derive numbers from it (year, month, weekday, hour, "
        f"days since an event) and leave it out with --drop {values.name}, or split by it with "
        f"--time {values.name}."
    )


def _categories(table: Table, values: pl.Series) -> pl.Series:
    if not values.dtype.is_float():
        return values.cast(pl.String)
    whole = as_integers(values)
    if whole is None:
        row = table.first((values != values.floor()) | ~values.is_finite())
        raise Unreadable(
            f"{table.where(row, values.name)}: expected a string or a whole number as a category, "
            f"got {values[row]}; round it, or leave the column numeric."
        )
    return whole.cast(pl.String)


def _key(seen: pl.Series) -> str:
    """Why a column of numbers is taken for an identifier, or nothing."""
    rows = len(seen)
    if rows < FEWEST_KEYS or seen.null_count():
        return ""
    whole = as_integers(seen)
    if whole is None or whole.n_unique() != rows:
        return ""
    least, most = whole.min(), whole.max()
    if isinstance(least, int) and isinstance(most, int) and most - least == rows - 1:
        return "it only counts the rows"
    if rows >= FEWEST_UNNAMED_KEYS or (
        _KEY_NAME.search(seen.name) or _KEY_NAME.search(seen.name.lower())
    ):
        return "it looks like an identifier, a whole number that differs in every row"
    return ""


def _settle_words(table: Table, values: pl.Series, seen: pl.Series) -> Typed:
    present = seen.drop_nulls()
    distinct = present.unique()
    if len(distinct) <= 2 * len(_TRUTHS):  # in either case
        words = set(distinct.str.to_lowercase())
        if words <= _TRUTHS and len(words) <= 2:
            return Typed(values, "boolean")
    sample = distinct.sort().gather_every(max(1, len(distinct) // 1000))
    if sample.str.contains(_DATE).all():
        raise _date(table, values, repr(present[0]))
    _refuse_spoiled_numbers(table, values, distinct)
    if len(present) >= FEWEST_KEYS and len(distinct) > 0.9 * len(present):
        all_of = "every row" if len(distinct) == len(present) else "nearly every row"
        return Typed(values, None, f"it looks like an identifier or free text, other in {all_of}")
    return Typed(values, "categorical")


def _refuse_spoiled_numbers(table: Table, values: pl.Series, distinct: pl.Series) -> None:
    """Numbers that a few other words, or decimal commas, have turned into text."""
    commas = distinct.str.contains(_DECIMAL_COMMA)
    spelled = distinct.cast(pl.Float64, strict=False).is_not_null()
    if commas.any() and int((commas | spelled).sum()) >= _MOSTLY * len(distinct):
        row = table.first(values.str.contains(_DECIMAL_COMMA))
        raise Unreadable(
            f"{table.where(row, values.name)}: expected a decimal point, got {values[row]!r}; "
            f"write it as {values[row].replace(',', '.')}."
        )
    numeric = int(spelled.sum())
    if numeric == len(distinct) or numeric < max(_MOSTLY * len(distinct), FEWEST_SPOILED):
        return
    row = table.first(values.is_not_null() & values.cast(pl.Float64, strict=False).is_null())
    raise Unreadable(
        f"{table.where(row, values.name)}: expected a number, as most other values are, got "
        f"{values[row]!r}; add the word to data.missing if it means that the value is missing, or "
        f'declare the column: [columns] {values.name} = "categorical".'
    )
