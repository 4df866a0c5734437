"""Parquet and Arrow files to be scored. These formats name their columns."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lockstep.artifact.columns import Column
from lockstep.errors import EngineUnavailable, Unreadable, first_line
from lockstep.table.choice import choose
from lockstep.table.chunk import CHUNK_ROWS, Chunk, Note

PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")


def read_frame(path: Path, columns: Sequence[Column], note: Note) -> Iterator[Chunk]:
    """Read the rows, with their numbers from 1.

    Args:
        path: Parquet or Arrow, told apart by the suffix.
        columns: of the network, found by name.
        note: is called with a sentence about columns that are ignored.

    Raises:
        Unreadable: where the file is not of that format, or lacks a column.
        EngineUnavailable: where polars is not installed.
    """
    try:
        polars = importlib.import_module("polars")
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"Reading {path} needs polars, which is not installed; install lockstep[tables], or "
            f"give the table as CSV."
        ) from error
    read = polars.read_parquet if path.suffix.lower() in PARQUET else polars.read_ipc
    try:
        # Opened here, so that polars never interprets the name as a glob pattern or a URL.
        with path.open("rb") as file:
            frame = read(file)
    except (polars.exceptions.PolarsError, OSError) as error:
        raise Unreadable(f"{path} cannot be read as {path.suffix}: {first_line(error)}.") from error
    wanted = choose(path, frame.columns, columns, note)
    frame = frame.select([frame.columns[place] for place in wanted])
    frame = frame.with_columns(polars.selectors.decimal().cast(polars.Float64))
    first = 1
    for piece in frame.iter_slices(CHUNK_ROWS):
        rows = [list(row) for row in piece.iter_rows()]
        yield Chunk(range(first, first + len(rows)), rows)
        first += len(rows)
