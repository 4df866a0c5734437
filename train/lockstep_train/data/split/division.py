"""The division of a table into parts, as the settings say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.columns.cells import read_numbers
from lockstep_train.data.columns.roles import Roles
from lockstep_train.data.columns.target import Target
from lockstep_train.data.dataset import RowNumbers
from lockstep_train.data.split.parts import Parts, check_parts, parts_by_word
from lockstep_train.data.split.shares import Shares
from lockstep_train.data.table import Table

FEWEST_KNOWN_ROWS = 5


def divide(
    table: Table,
    columns: Mapping[str, pl.Series],
    roles: Roles,
    target: Target,
    configuration: Configuration,
) -> Parts:
    """Divide the rows whose target is known; a test file's rows are the test.

    Args:
        table: names the rows.
        columns: those that have a role, null where a value is missing.
        roles: which column splits, if one does.
        target: whose classes are shared out.
        configuration: its shares and seed.

    Raises:
        InvalidSetting: too few rows, an empty part, a class that is not trained on.
        Unreadable: naming the row whose group, time or part is not given.
    """
    known = np.flatnonzero(target.known)
    tested = known[known >= table.tested] if table.tested is not None else None
    rows = known[known < table.tested] if table.tested is not None else known
    if len(rows) < FEWEST_KNOWN_ROWS:
        raise InvalidSetting(
            f"{table.name} has {len(rows)} rows with a value of {target.name}, the target: at "
            f"least {FEWEST_KNOWN_ROWS} are needed; bring more rows."
        )
    parts = _divide(table, columns, roles, target, configuration, rows)
    if tested is not None:
        parts = Parts(parts.train, parts.validation, tested)
    check_parts(table, target, parts)
    return parts


def _divide(
    table: Table,
    columns: Mapping[str, pl.Series],
    roles: Roles,
    target: Target,
    configuration: Configuration,
    rows: RowNumbers,
) -> Parts:
    seed = configuration.training.seed
    if roles.split:
        return parts_by_word(table, columns[roles.split], rows)
    shares = Shares.of(configuration.data.split, len(rows), tested=table.tested is not None)
    if roles.group:
        groups = _given(table, columns[roles.group], rows)
        return Parts.by_group(rows, groups.rank("dense").to_numpy(), shares, seed)
    if roles.time:
        times = _given(table, _times(table, columns[roles.time]), rows)
        return Parts.by_time(rows, times.rank("dense").to_numpy(), shares)
    classes = None if target.classes is None else target.values[rows]
    return Parts.at_random(rows, classes, shares, seed)


def _given(table: Table, values: pl.Series, rows: RowNumbers) -> pl.Series:
    """The values of the rows to be divided, none of which may be missing."""
    chosen = values.gather(rows)
    if chosen.null_count():
        row = int(rows[table.first(chosen.is_null())])
        raise Unreadable(
            f"{table.where(row, values.name)}: expected a value that says where the row belongs, "
            "got none; fill it in, or leave the row out."
        )
    return chosen


def _times(table: Table, values: pl.Series) -> pl.Series:
    """Times in an order: numbers, dates, or words that spell either."""
    if values.dtype != pl.String:
        return values
    found = read_numbers(table, values)
    if found is not None:
        return found
    try:
        return values.str.to_datetime(time_unit="us")
    except pl.exceptions.PolarsError as error:
        row = table.first(values.is_not_null())
        raise Unreadable(
            f"{table.where(row, values.name)}: expected numbers, or dates and times as in "
            f"2024-01-31 or 2024-01-31 18:30:00, got {values[row]!r}; write them all in that way."
        ) from error
