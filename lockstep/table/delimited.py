"""Delimited text (CSV and its variants): the one reader for training and for scoring."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from lockstep.errors import Unreadable
from lockstep.table.cell import is_blank, number
from lockstep.table.separator import find_separator

DELIMITED = (".csv", ".tsv", ".tab", ".psv", ".txt", ".data", ".test")

# The code points by which Python represents bytes that are not UTF-8 (surrogateescape).
_UNDECODED = re.compile("[\udc80-\udcff]")


class Record(NamedTuple):
    """A row of cells, or the header. It has several lines if a cell contains a line break.

    Attributes:
        line: the number of its first line, from 1.
        cells: as they are written, without their quotes.
    """

    line: int
    cells: list[str]


class Delimited:
    """A delimited text. Its header is read at once; its rows can be read one time.

    A record whose cells are all blank is not a row. A column without a name is left out: some
    programs write the row numbers there. Blanks around a name are ignored.

    Attributes:
        separator: the character between the cells.
        names: of the columns that are kept.
        kept: the place of each kept column among all ``width`` columns.
        width: the number of cells in every row.
        first: the first row, with all of its cells.
        notes: a sentence for each column that is left out.
        blanks: the number of records of blank cells, such as ``,,``, that were skipped so far;
            empty lines are not counted.
        first_blank: the line of the first such record; 0 if there is none.
    """

    def __init__(
        self,
        path: Path,
        lines: Iterable[str],
        *,
        header: bool,
        names: Sequence[str],
        known: Collection[str],
    ) -> None:
        self._path = path
        self.blanks = self.first_blank = 0
        width = len(names) if names and not header else None
        self.separator, again = find_separator(_decoded(path, lines), width)
        self._records = self._read(again)
        found = self._names_in(known) if header else tuple(names)
        first = next(self._records, None)
        if first is None:
            where = " below its header" if header else ""
            raise Unreadable(f"{path} holds no rows{where}; give a table with a row for each case.")
        self.first = first
        found = found or tuple(f"column_{i}" for i in range(1, len(first.cells) + 1))
        self.width = len(found)
        self.kept = [place for place, name in enumerate(found) if name]
        self.names = tuple(found[place] for place in self.kept)
        self._check_names(found)
        self.notes = tuple(
            f"Column {place} of {path} has no name and is left out; name it to keep it."
            for place, name in enumerate(found, start=1)
            if not name
        )

    def __iter__(self) -> Iterator[Record]:
        """Read the rows; each has the cells of the kept columns only.

        Raises:
            Unreadable: naming the line that is not CSV or has another number of cells.
        """
        kept = self.kept
        whole = len(kept) == self.width
        for record in chain([self.first], self._records):
            cells = record.cells
            if len(cells) != self.width:
                raise Unreadable(
                    f"{self._path}, line {record.line}: expected {self.width} cells, got "
                    f"{len(cells)}; a cell that holds {self.separator!r} must stand in double "
                    "quotes."
                )
            yield record if whole else Record(record.line, [cells[place] for place in kept])

    def _read(self, lines: Iterator[str]) -> Iterator[Record]:
        reader = csv.reader(lines, delimiter=self.separator, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise Unreadable(f"{self._path}, line {line}: this is not CSV: {error}.") from error
            if cells is None:
                return
            if not is_blank(cells):
                yield Record(line, cells)
            elif cells:
                self.blanks += 1
                self.first_blank = self.first_blank or line

    def _names_in(self, known: Collection[str]) -> tuple[str, ...]:
        """The columns' names in the first line; refuse a line of numbers if none is known."""
        record = next(self._records, None)
        if record is None:
            raise Unreadable(f"{self._path} holds no rows; give a table with a row for each case.")
        self.blanks = self.first_blank = 0
        found = tuple(cell.strip() for cell in record.cells)
        if all(number(name) is not None for name in found) and not set(found) & set(known):
            raise Unreadable(
                f"{self._path}, line {record.line}: expected the columns' names, got only numbers "
                f"({', '.join(found[:3])}, ...); pass --no-header if no line names them."
            )
        return found

    def _check_names(self, found: Sequence[str]) -> None:
        places: dict[str, int] = {}
        for place in self.kept:
            first = places.setdefault(found[place], place)
            if first != place:
                raise Unreadable(
                    f"{self._path} names the columns {first + 1} and {place + 1} both "
                    f"{found[place]!r}; rename one of them."
                )


@contextmanager
def open_delimited(
    path: Path, *, header: bool, names: Sequence[str] = (), known: Collection[str] = ()
) -> Iterator[Delimited]:
    """Open a delimited text, which may be a pipe, and read its header.

    Args:
        path: UTF-8, with or without a byte order mark.
        header: whether the first line that is not blank names the columns.
        names: the columns' names if there is no header; by default ``column_1`` and so on.
        known: names of columns that the caller needs. A header of numbers is accepted only if it
            holds one of them.

    Raises:
        Unreadable: naming the file, and the line if one is not CSV or not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield Delimited(path, file, header=header, names=names, known=known)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}.") from error


def _decoded(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """The same lines, each checked to be UTF-8."""
    for place, line in enumerate(lines, start=1):
        if not line.isascii() and (strange := _UNDECODED.search(line)):
            raise Unreadable(
                f"{path}, line {place}: expected UTF-8 text, got the byte "
                f"0x{ord(strange[0]) - 0xDC00:02x}; save the file as UTF-8."
            )
        yield line
