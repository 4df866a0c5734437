"""The features of a table to be scored: CSV, Parquet or Arrow with named columns, or a tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lockstep.artifact.columns import Column, FeatureArray
from lockstep.artifact.encoding import encode
from lockstep.artifact.manifest import Manifest
from lockstep.errors import InvalidInstances, InvalidSetting, NotFound, Unreadable
from lockstep.table.cell import read_cells
from lockstep.table.choice import choose
from lockstep.table.chunk import Chunk, Note, located
from lockstep.table.delimited import DELIMITED, open_delimited
from lockstep.table.frame import ARROW, PARQUET, read_frame
from lockstep.table.tensor import TENSOR, read_tensor

STANDARD_INPUT = Path("/dev/stdin")
# Few enough that their cells stay in the processor's cache until they are read.
TEXT_ROWS = 256


def read_features(
    path: Path, manifest: Manifest, *, header: bool, note: Note
) -> Iterator[FeatureArray]:
    """Read a table, a chunk at a time, as the features that the network sees.

    Args:
        path: CSV, Parquet or Arrow, with the same suffixes as for ``lockstep train``, or ``.npy``.
            ``-`` is CSV on standard input. A pipe is CSV, whatever its name.
        manifest: of the network that scores the table.
        header: whether the first line of a CSV file names its columns.
        note: is called with a sentence about columns or lines that are skipped.

    Yields:
        float32 ``[n, ...]``, n ≥ 1, in the order of the table.

    Raises:
        NotFound: where there is no such file.
        Unreadable: naming the file and the line, where the table cannot be parsed, lacks a column,
            or holds a value that the network does not take.
        InvalidSetting: for another kind of file, or one that does not fit this network's input.
        EngineUnavailable: where polars is needed and not installed.
    """
    path = STANDARD_INPUT if path == Path("-") else path
    piped = path == STANDARD_INPUT or path.is_fifo()
    suffix = DELIMITED[0] if piped else path.suffix.lower()
    known = (*DELIMITED, *PARQUET, *ARROW, TENSOR)
    if suffix not in known:
        raise InvalidSetting(f"Expected a table that ends in {', '.join(known)}, got {path}.")
    if not piped and not path.is_file():
        raise NotFound(f"There is no table {path}.")
    if suffix == TENSOR:
        yield from read_tensor(path, manifest)
        return
    if not manifest.columns:
        raise InvalidSetting(
            f"{manifest.name} answers instances of shape {list(manifest.instance_shape)}, which "
            f"have no columns; give them as one .npy tensor instead of {path}."
        )
    columns = manifest.columns
    if suffix in DELIMITED:
        place, chunks = "line", read_delimited(path, columns, header=header, note=note)
    else:
        place, chunks = "row", read_frame(path, columns, note)
    empty = True
    for chunk in chunks:
        empty = False
        yield _encode(path, place, chunk, columns)
    if empty:
        raise Unreadable(f"{path} holds no rows; there is nothing to score.")


def _encode(path: Path, place: str, chunk: Chunk, columns: Sequence[Column]) -> FeatureArray:
    try:
        return encode(chunk.instances, columns)
    except InvalidInstances as error:
        raise located(path, place, chunk.places, error) from error


def read_delimited(
    path: Path, columns: Sequence[Column], *, header: bool, note: Note
) -> Iterator[Chunk]:
    """Read the rows of a delimited text, with their line numbers.

    Args:
        path: of the text.
        columns: of the network. With a header they are found by name; without one, the text must
            have exactly these, in this order.
        header: whether the first line names the columns.
        note: is called with a sentence about columns, or lines of blank cells, that are skipped.

    Raises:
        Unreadable: naming the line that is not CSV, or the columns that are missing.
    """
    names = [column.name for column in columns]
    given = () if header else names
    with open_delimited(path, header=header, names=given, known=names) as table:
        for sentence in table.notes:
            note(sentence)
        wanted = choose(path, table.names, columns, note)
        rows = iter(table)
        while piece := list(islice(rows, TEXT_ROWS)):
            cells = list(zip(*(row.cells for row in piece), strict=True))
            values = [
                read_cells(cells[place], column)
                for place, column in zip(wanted, columns, strict=True)
            ]
            instances = [list(row) for row in zip(*values, strict=True)]
            yield Chunk([row.line for row in piece], instances)
        if table.blanks:
            note(
                f"{path}: lines of nothing but blank cells get no answer: {table.blanks} of them, "
                f"the first at line {table.first_blank}."
            )
