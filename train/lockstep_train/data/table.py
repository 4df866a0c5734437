"""A table: rows as a source holds them, before anything is decided about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl

from lockstep.errors import InvalidSetting, Unreadable
from lockstep.table.cell import number
from lockstep_train.configuration.section import did_you_mean
from lockstep_train.data.dataset import LearningTask

SHOWN_COLUMNS = 40


@dataclass(frozen=True)
class Table:
    """Rows as a source holds them.

    Attributes:
        name: as a sentence names the source: a path, or what the caller calls a frame.
        frame: the rows; of a delimited text every cell is a string.
        place: names a row, by its number from 0, as a person finds it: ``adult.csv, line 12``.
        target: the column that is predicted where the settings name none.
        task: what the target is, where the source is known to say so.
        text: whether the source is text, so that numbers and booleans have to be read from words.
        fixed: whether every column is a number with a place of its own, as a pixel is, so that none
            is left out.
        tested: number of the first row that is there to be tested; None where there is none.
        notes: what was passed over in reading, in sentences.
    """

    name: str
    frame: pl.DataFrame
    place: Callable[[int], str]
    target: str | None = None
    task: LearningTask | None = None
    text: bool = False
    fixed: bool = False
    tested: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def decisive(self) -> int:
        """Number of the rows that decide what the columns are: those that are no test file's."""
        return self.frame.height if self.tested is None else self.tested

    def where(self, row: int, column: str) -> str:
        """A cell as a sentence names it, by the number of its row from 0."""
        return f"{self.place(int(row))}, column {column}"

    def column(self, name: str, setting: str) -> pl.Series:
        """The column that a setting names.

        Raises:
            InvalidSetting: there is no such column.
        """
        if name not in self.frame.columns:
            raise InvalidSetting(
                f"{setting} names the column {name!r}, which {self.name} does not have."
                f"{did_you_mean(name, self.frame.columns)} {listed(self.frame.columns)}"
                f"{self._header_hint()}"
            )
        return self.frame[name]

    def _header_hint(self) -> str:
        if self.text and any(number(name) is not None for name in self.frame.columns):
            return " If the file's first line names no columns, pass --no-header and --names."
        return ""

    def first(self, rows: pl.Series) -> int:
        """Number of the first row for which a column of booleans is true."""
        return int(np.argmax(rows.fill_null(value=False).to_numpy()))

    def followed_by(self, test: Table, wanted: Iterable[str]) -> Self:
        """The same rows, then those of a test file.

        Args:
            test: the rows to be tested; it names the columns in any order.
            wanted: columns that it must have.

        Raises:
            Unreadable: it lacks a column, or holds text where this table holds numbers.
        """
        names = [name for name in self.frame.columns if name in test.frame.columns]
        absent = [name for name in wanted if name not in test.frame.columns]
        if absent:
            raise Unreadable(
                f"{test.name} lacks the column {absent[0]!r} of {self.name}."
                f"{did_you_mean(absent[0], test.frame.columns)} {listed(test.frame.columns)}"
            )
        for name in names:
            one, other = self.frame[name].dtype, test.frame[name].dtype
            if one != other and not (_alike(one) and _alike(other)):
                raise Unreadable(
                    f"{test.name}, column {name}: expected {one} as in {self.name}, got {other}; "
                    "store both in the same way."
                )
        rows = self.frame.height
        frame = pl.concat(
            [self.frame, test.frame.select(names)], how="diagonal_relaxed", rechunk=True
        )

        def place(row: int) -> str:
            return self.place(row) if row < rows else test.place(row - rows)

        extra = [name for name in test.frame.columns if name not in self.frame.columns]
        notes = self.notes
        if extra:
            notes += (f"Columns that {test.name} alone has are left out: {', '.join(extra)}.",)
        return replace(self, frame=frame, place=place, tested=rows, notes=notes)


def numbered(name: str) -> Callable[[int], str]:
    """How a source without lines names a row: ``adult.parquet, row 1``."""
    return lambda row: f"{name}, row {row + 1}"


def listed(columns: Iterable[str]) -> str:
    """The columns that there are, as the end of a sentence about one that is not."""
    names = list(columns)
    more = len(names) - SHOWN_COLUMNS
    rest = f" and {more} more" if more > 0 else ""
    return f"There are: {', '.join(names[:SHOWN_COLUMNS])}{rest}."


def _alike(kind: pl.DataType) -> bool:
    """Whether values of this type stand beside any other such type in one column."""
    return kind.is_numeric() or kind == pl.Null
