"""A table to be scored: CSV, Parquet or Arrow with named columns, or an .npy tensor."""

from __future__ import annotations

import csv
import difflib
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import Column, FeatureArray
from lockstep.artifact.encoding import check_features, check_finite, encode
from lockstep.artifact.manifest import Manifest
from lockstep.errors import (
    SHOWN_PROBLEMS,
    EngineUnavailable,
    InvalidInstances,
    InvalidSetting,
    NotFound,
    Unreadable,
)

CHUNK_ROWS = 4096
STANDARD_INPUT = Path("/dev/stdin")
DELIMITED = (".csv", ".tsv", ".tab", ".psv", ".txt", ".data", ".test")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
TENSOR = ".npy"
SEPARATORS = (",", ";", "\t", "|")

Note = Callable[[str], None]


@dataclass(frozen=True)
class Chunk:
    """A few rows of a table.

    Attributes:
        places: where each row stands in the file: its line, or its number from 1.
        instances: the rows' raw values in the order of the columns.
    """

    places: Sequence[int]
    instances: list[list[Any]]


def read_features(
    path: Path, manifest: Manifest, *, header: bool, note: Note
) -> Iterator[FeatureArray]:
    """Read a table, a chunk at a time, as the features that the network sees.

    Args:
        path: CSV, Parquet or Arrow by the names of ``lockstep train``, or ``.npy``; ``-`` is CSV on
            standard input.
        manifest: of the network that is to score it.
        header: whether the first line of a CSV file names its columns.
        note: is told, in a sentence, of columns that are passed over.

    Yields:
        float32 ``[n, ...]``, n ≥ 1, in the order of the table.

    Raises:
        NotFound: where there is no such file.
        Unreadable: naming the file and the line, where it is no such table, lacks a column, or
            holds a value that the network cannot answer.
        InvalidSetting: for another kind of file, or one that does not fit this network's input.
        EngineUnavailable: where polars is needed and not installed.
    """
    piped = path == Path("-")
    path = STANDARD_INPUT if piped else path
    suffix = DELIMITED[0] if piped else path.suffix.lower()
    known = (*DELIMITED, *PARQUET, *ARROW, TENSOR)
    if suffix not in known:
        raise InvalidSetting(f"Expected a table that ends in {', '.join(known)}, got {path}.")
    if not piped and not path.is_file():
        raise NotFound(f"There is no table {path}.")
    if suffix == TENSOR:
        yield from _read_tensor(path, manifest)
        return
    if not manifest.columns:
        raise InvalidSetting(
            f"{manifest.name} answers instances of shape {list(manifest.instance_shape)}, which "
            f"have no columns; give them as one .npy tensor instead of {path}."
        )
    read = _read_csv if suffix in DELIMITED else _read_frame
    place = "line" if suffix in DELIMITED else "row"
    empty = True
    for chunk in read(path, manifest.columns, header, note):
        empty = False
        yield _encode(path, place, chunk, manifest.columns)
    if empty:
        raise Unreadable(f"{path} holds no rows; there is nothing to score.")


def _encode(path: Path, place: str, chunk: Chunk, columns: Sequence[Column]) -> FeatureArray:
    try:
        return encode(chunk.instances, columns)
    except InvalidInstances as error:
        raise _located(path, place, chunk.places, error) from error


def _located(path: Path, place: str, places: Sequence[int], error: InvalidInstances) -> Unreadable:
    """The same problems, by their place in the file instead of the index of the instance."""
    sentences = [
        f"{path}, {place} {places[problem.instance]}"
        f"{f', column {problem.column}' if problem.column else ''}: {problem.message}"
        for problem in error.problems[:SHOWN_PROBLEMS]
    ]
    more = len(error.problems) - SHOWN_PROBLEMS
    rest = f"; and at least {more} more" if more > 0 else ""
    return Unreadable(f"{'; '.join(sentences)}{rest}.")


def _read_csv(path: Path, columns: Sequence[Column], header: bool, note: Note) -> Iterator[Chunk]:
    """The rows of a CSV file; blank lines are no rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _csv_lines(path, file)
            wanted: Sequence[int] = range(len(columns))
            width = len(columns)
            if header:
                _, names = next(lines, (1, [column.name for column in columns]))
                wanted, width = _pick(path, names, columns, note), len(names)
            rows = (
                (line, _csv_row(path, line, cells, width, wanted, columns)) for line, cells in lines
            )
            while piece := list(islice(rows, CHUNK_ROWS)):
                yield Chunk([line for line, _ in piece], [row for _, row in piece])
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} must be UTF-8 text, however: {error}; convert it.") from error
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from error


def _csv_lines(path: Path, file: Any) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line that is not blank."""
    first = file.readline()
    # A comma in the first line wins: else a word with another separator in it could cut the cells.
    separator = "," if "," in first else max(SEPARATORS, key=first.count)
    reader = csv.reader(chain([first], file), strict=True, delimiter=separator)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise Unreadable(f"{path}, line {line}: this is not CSV: {error}.") from error
        if cells is None:
            return
        if cells:
            yield line, cells


def _csv_row(
    path: Path,
    line: int,
    cells: Sequence[str],
    width: int,
    wanted: Sequence[int],
    columns: Sequence[Column],
) -> list[Any]:
    if len(cells) != width:
        raise Unreadable(f"{path}, line {line}: expected {width} cells, got {len(cells)}.")
    return [_csv_value(cells[place], column) for place, column in zip(wanted, columns, strict=True)]


def _csv_value(cell: str, column: Column) -> float | str | None:
    """A cell as the raw value that a request would carry; `encode` refuses what is no number."""
    if not cell.strip():
        return None
    if column.kind == "numeric" and "_" not in cell:  # Python reads 1_000 as a thousand
        try:
            return float(cell)
        except ValueError:
            return cell
    return cell


def _pick(path: Path, names: Sequence[str], columns: Sequence[Column], note: Note) -> list[int]:
    """For each column of the network, its place in the table."""
    known = {column.name for column in columns}
    # In training, blanks around a name count for nothing.
    names = [name if name in known else name.strip() for name in names]
    places = {name: place for place, name in enumerate(names)}
    extra = [name for name in places if name not in known]
    absent = [column.name for column in columns if column.name not in places]
    if absent:
        near = difflib.get_close_matches(absent[0], extra, n=1)
        hint = f" Is {near[0]!r} meant for {absent[0]!r}?" if near else ""
        listed = ", ".join(absent[:SHOWN_PROBLEMS])
        more = f" and {len(absent) - SHOWN_PROBLEMS} more" if len(absent) > SHOWN_PROBLEMS else ""
        raise Unreadable(
            f"{path} lacks {len(absent)} of the network's {len(columns)} columns: "
            f"{listed}{more}.{hint} The first line must name the columns (else: --no-header)."
        )
    twice = sorted(name for name in known if names.count(name) > 1)
    if twice:
        raise Unreadable(f"{path} names a column twice: {', '.join(twice)}; leave one out.")
    if extra:
        note(f"{path}: passing over columns that the network does not know: {', '.join(extra)}.")
    return [places[column.name] for column in columns]


def _read_frame(path: Path, columns: Sequence[Column], header: bool, note: Note) -> Iterator[Chunk]:
    """The rows of a Parquet or Arrow file, which names its columns itself."""
    del header
    try:
        polars = importlib.import_module("polars")
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"Reading {path} needs polars, which is not installed; install lockstep[tables], or "
            f"give the table as CSV."
        ) from error
    read = polars.read_parquet if path.suffix.lower() in PARQUET else polars.read_ipc
    try:
        # Opened here, so that polars never takes the name for a pattern or an address.
        with path.open("rb") as file:
            frame = read(file)
    except (polars.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise Unreadable(f"{path} cannot be read as {path.suffix}: {reason}.") from error
    wanted = _pick(path, frame.columns, columns, note)
    frame = frame.select([frame.columns[place] for place in wanted])
    frame = frame.with_columns(polars.selectors.decimal().cast(polars.Float64))
    for start in range(0, frame.height, CHUNK_ROWS):
        rows = [list(row) for row in frame.slice(start, CHUNK_ROWS).iter_rows()]
        yield Chunk(range(start + 1, start + 1 + len(rows)), rows)


def _read_tensor(path: Path, manifest: Manifest) -> Iterator[FeatureArray]:
    """An .npy tensor ``[n, ...]`` of features; a category is its code."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise Unreadable(f"{path} cannot be read as an .npy tensor: {error}.") from error
    shape = manifest.instance_shape
    fits = isinstance(array, np.ndarray) and array.shape[1:] == shape and array.ndim > 0
    if not fits or len(array) == 0 or array.dtype.kind not in "fiu":
        expected = ", ".join(map(str, ("rows", *shape)))
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an .npz"
        raise Unreadable(f"{path} must hold numbers of shape [{expected}], got {found}.")
    for start in range(0, len(array), CHUNK_ROWS):
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
            features = np.ascontiguousarray(array[start : start + CHUNK_ROWS], np.float32)
        try:
            if manifest.columns:
                check_features(features, manifest.columns)
            else:
                check_finite(features)
        except InvalidInstances as error:
            places = range(start + 1, start + 1 + len(features))
            raise _located(path, "row", places, error) from error
        yield features
