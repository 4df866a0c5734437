"""Tables written as text: CSV and its kin."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import polars as pl

from lockstep.errors import InvalidSetting, Unreadable
from lockstep.table import SEPARATORS
from lockstep_train.data.table import Table, is_number

_SNIFFED_RECORDS = 100


class _Record(NamedTuple):
    """A line that is not blank; or several, where a cell holds the end of one.

    Attributes:
        before: number of the lines before it.
        line: its last line, from 1.
        cells: as they are written.
    """

    before: int
    line: int
    cells: list[str]


@dataclass(frozen=True)
class _Form:
    """How a file is written: its separator, its columns' names, what stands before its rows."""

    separator: str
    names: tuple[str, ...]
    header_records: int
    lines_before_rows: int

    @classmethod
    def of(cls, path: Path, *, header: bool, names: Sequence[str]) -> Self:
        separator = _separator(path)
        records = _records(path, separator)
        first = next(records, None)
        if first is None:
            raise Unreadable(f"{path} holds no rows; give a table with a row for each case.")
        if header:
            found = _names_in(path, first.cells, names)
            second = next(records, None)
            if second is None:
                raise Unreadable(f"{path} holds no rows below its header; give one for each case.")
            form = cls(separator, found, 1, second.before)
        else:
            found = _names_for(path, len(first.cells), names)
            form = cls(separator, found, 0, first.before)
        for place, name in enumerate(found, start=1):
            if name in found[: place - 1]:
                raise Unreadable(
                    f"{path} names the columns {found.index(name) + 1} and {place} both {name!r}; "
                    "rename one of them."
                )
        return form


def _names_in(path: Path, cells: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The columns' names in the first line."""
    if given:
        raise InvalidSetting(
            "data.names names the columns of a file without a header: pass --no-header too, or "
            f"leave the names out, if the first line of {path} has them."
        )
    found = tuple(cell.strip() for cell in cells)
    if all(map(is_number, found)):
        raise Unreadable(
            f"{path}, line 1: expected the columns' names, got only numbers "
            f"({', '.join(found[:3])}, ...); pass --no-header and --names."
        )
    return found


def _names_for(path: Path, columns: int, given: Sequence[str]) -> tuple[str, ...]:
    """The columns' names where no line has them."""
    found = tuple(given) or tuple(f"column_{i}" for i in range(1, columns + 1))
    if len(found) != columns:
        raise InvalidSetting(
            f"{path} has {columns} columns, but {len(found)} names were given (data.names); give "
            "one for each column."
        )
    return found


def read_delimited(path: Path, *, header: bool, names: Sequence[str] = ()) -> Table:
    """Read a table of text; its separator is the one of ``SEPARATORS`` that fits its lines.

    Blank lines are no rows. A column without a name is left out: it is the row numbers that some
    programs write.

    Args:
        path: UTF-8, with or without a byte order mark.
        header: whether the first line names the columns.
        names: the columns' names, where it does not; else they are ``column_1`` and so on.

    Raises:
        Unreadable: naming the file and the line that is no such table.
        InvalidSetting: other names than there are columns.
    """
    try:
        form = _Form.of(path, header=header, names=names)
        frame = _frame(path, form)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from error
    notes: tuple[str, ...] = ()
    if "" in frame.columns:
        number = frame.columns.index("") + 1
        notes = (f"Column {number} of {path} has no name and is left out; name it to keep it.",)
        frame = frame.drop("")

    def place(row: int) -> str:
        record = next(islice(_rows(path, form), row, None))
        return f"{path}, line {record.line}"

    return Table(name=str(path), frame=frame, place=place, text=True, notes=notes)


def _frame(path: Path, form: _Form) -> pl.DataFrame:
    try:
        frame = pl.read_csv(
            path,
            has_header=False,
            skip_lines=form.lines_before_rows,
            separator=form.separator,
            schema=dict.fromkeys(form.names, pl.String),
            empty_string_is_null=False,
            raise_if_empty=False,
            glob=False,
        )
    except pl.exceptions.PolarsError as error:
        _check_widths(path, form)  # which also finds the line that is no UTF-8
        reason = str(error).strip().splitlines()[0]
        raise Unreadable(f"{path} cannot be read as CSV: {reason}.") from error
    # A line with too few cells is filled up with empty ones: seen at the last column.
    if frame.height and (frame[:, -1] == "").any():
        _check_widths(path, form)
        first = frame[:, 0].str.strip_chars()
        if (first == "").any():
            frame = frame.filter(~pl.all_horizontal(pl.all().str.strip_chars() == ""))
    return frame


def _check_widths(path: Path, form: _Form) -> None:
    width = len(form.names)
    for record in _rows(path, form):
        if len(record.cells) != width:
            raise Unreadable(
                f"{path}, line {record.line}: expected {width} cells, got {len(record.cells)}; a "
                f"cell that holds {form.separator!r} must stand in double quotes."
            )


def _rows(path: Path, form: _Form) -> Iterator[_Record]:
    """The records without the header."""
    return islice(_records(path, form.separator), form.header_records, None)


def _records(path: Path, separator: str) -> Iterator[_Record]:
    """The lines that are not blank; lines whose cells all are blank are no rows either."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        while True:
            before = reader.line_num
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise Unreadable(f"{path}, line {before + 1}: this is not CSV: {error}.") from error
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield _Record(before, reader.line_num, cells)


def _separator(path: Path) -> str:
    """The separator that cuts the first lines into the most cells, alike in every line."""

    def fit(separator: str) -> tuple[bool, int]:
        records = islice(_records(path, separator), _SNIFFED_RECORDS)
        widths = [len(record.cells) for record in records]
        least = min(widths, default=1)
        return least > 1 and least == max(widths), least

    return max(SEPARATORS, key=fit)


def _not_utf8(path: Path) -> Unreadable:
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Unreadable(
            f"{path}, line {line}: expected UTF-8 text, got the byte 0x{content[error.start]:02x}; "
            "save the file as UTF-8."
        )
    return Unreadable(f"{path} changed while it was read; try again.")
