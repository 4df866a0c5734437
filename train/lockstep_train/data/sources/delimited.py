"""Tables written as text, read by the core's rules: by polars wherever it reads them alike."""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lockstep.errors import InvalidSetting
from lockstep.table.cell import BLANKS
from lockstep.table.delimited import Delimited, open_delimited
from lockstep_train.data.table import Table

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

_BLOCK_BYTES = 1 << 20
_BLOCK_ROWS = 1 << 16


def read_delimited_table(path: Path, *, header: bool, names: Sequence[str] = ()) -> Table:
    """Read a table of text, as `lockstep.table.delimited` does.

    Args:
        path: of the text.
        header: whether the first line names the columns.
        names: the columns' names, where it does not; else they are ``column_1`` and so on.

    Raises:
        Unreadable: naming the file and the line that is no such table.
        InvalidSetting: other names than there are columns.
    """
    if header and names:
        raise InvalidSetting(
            "data.names names the columns of a file without a header: pass --no-header too, or "
            f"leave the names out, if the first line of {path} has them."
        )
    with open_delimited(path, header=header, names=names) as text:
        if names and len(text.first.cells) != len(names):
            raise InvalidSetting(
                f"{path} has {len(text.first.cells)} columns, but {len(names)} names were given "
                "(data.names); give one for each column."
            )
        frame = _parse(path, text)
        if frame is None:
            frame = _collect(text)

    def place(row: int) -> str:
        with open_delimited(path, header=header, names=names) as again:
            record = next(islice(again, row, None))
        return f"{path}, line {record.line}"

    return Table(name=str(path), frame=frame, place=place, text=True, notes=text.notes)


def _collect(text: Delimited) -> pl.DataFrame:
    """The rows, one by one."""
    rows = iter(text)
    schema = dict.fromkeys(text.names, pl.String)
    blocks = []
    while block := [row.cells for row in islice(rows, _BLOCK_ROWS)]:
        blocks.append(pl.DataFrame(block, schema=schema, orient="row"))
    return pl.concat(blocks, rechunk=True)


def _parse(path: Path, text: Delimited) -> pl.DataFrame | None:
    """The rows as polars reads them, much faster; None where it might not read them alike."""
    content = path.read_bytes()
    quoted = b'"' in content
    if (quoted or b"\r" in content) and not _is_regular(content, text.separator):
        return None
    start = 0
    for _ in range(text.first.line - 1):
        start = content.index(b"\n", start) + 1
    if start and content.startswith(BOM_UTF8, start):
        return None  # polars would take the beginning of a cell for that of the file
    try:
        frame = pl.read_csv(
            content,
            has_header=False,
            skip_lines=text.first.line - 1,
            separator=text.separator,
            quote_char='"' if quoted else None,
            schema={str(place): pl.String for place in range(text.width)},
            empty_string_is_null=False,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError:
        return None  # the reader that knows the line says better what is wrong
    longest = frame.select(pl.max_horizontal(pl.all().str.len_bytes().max())).item()
    if longest > csv.field_size_limit():
        return None
    # A line with too few cells is filled up with empty ones: seen at the last column.
    last = frame[:, -1].str.strip_chars(BLANKS)
    if (last == "").any():
        separators = frame.height * (text.width - 1)
        if quoted or content.count(text.separator.encode(), start) != separators:
            for _ in text:  # refuses a line of another width
                pass
        frame = _without_blanks(frame)
    return frame.select(
        pl.col(str(place)).alias(name) for place, name in zip(text.kept, text.names, strict=True)
    )


def _without_blanks(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that have a cell which is not blank."""
    if not (frame[:, 0].str.strip_chars(BLANKS) == "").any():
        return frame
    return frame.filter(~pl.all_horizontal(pl.all().str.strip_chars(BLANKS) == ""))


def _is_regular(content: bytes, separator: str) -> bool:
    """Whether every reader of CSV cuts a text alike.

    It does where each carriage return stands before a line feed, and where quotes are pairs around
    whole cells: the first, third, fifth … begins a cell or follows upon another quote, and the
    second, fourth, sixth … ends a cell or comes before another quote.
    """
    text = np.frombuffer(content, np.uint8)[3 if content.startswith(BOM_UTF8) else 0 :]
    edges = separator.encode() + b'\n"'
    returning = b"\r" in content
    inside = 0
    # A block at a time: it stays in the processor's cache, and no mask of the whole text is made.
    for first in range(0, len(text), _BLOCK_BYTES):
        block = text[first : first + _BLOCK_BYTES]
        quotes = np.flatnonzero(block == ord('"')) + first
        returns = np.flatnonzero(block == ord("\r")) + first if returning else quotes[:0]
        opening, closing = quotes[inside::2], quotes[1 - inside :: 2]
        inside ^= len(quotes) % 2
        regular = (
            _are_among(_after(text, returns), b"\n")
            and _are_among(text[opening[opening > 0] - 1], edges)
            and _are_among(_after(text, closing), edges + b"\r")
        )
        if not regular:
            return False
    return not inside


def _are_among(found: Bytes, allowed: bytes) -> bool:
    table = np.zeros(256, bool)
    table[list(allowed)] = True
    return bool(table[found].all())


def _after(text: Bytes, places: Offsets) -> Bytes:
    """The byte behind each place; there is none behind the text's end."""
    if places.size and places[-1] == len(text) - 1:
        places = places[:-1]
    return text[places + 1]
