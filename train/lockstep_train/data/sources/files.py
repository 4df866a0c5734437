"""Tables in files, whatever the files are."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lockstep.errors import InvalidSetting, NotFound, Unreadable, first_line
from lockstep.table.delimited import DELIMITED
from lockstep.table.frame import ARROW, PARQUET
from lockstep_train.configuration.data import DataConfiguration
from lockstep_train.data.sources.arrays import read_npz
from lockstep_train.data.sources.delimited import read_delimited_table
from lockstep_train.data.sources.idx import read_idx_folder
from lockstep_train.data.table import Table, numbered

KINDS = "CSV (.csv, .tsv, .txt, .data), Parquet, Arrow, NPZ, or a folder of IDX files"


def read_table(path: Path, configuration: DataConfiguration) -> Table:
    """Read a table from a file, or from a folder of IDX files.

    Raises:
        NotFound: there is nothing at that path.
        Unreadable: naming the file and the line, where it is no such table.
        InvalidSetting: another kind of file.
    """
    if path.is_dir():
        return read_idx_folder(path)
    if not path.is_file():
        raise NotFound(f"There is no file {path}; give {KINDS}.")
    suffix = path.suffix.lower()
    if suffix in DELIMITED:
        return read_delimited_table(path, header=configuration.header, names=configuration.names)
    if suffix in PARQUET or suffix in ARROW:
        return _read_frame(path, parquet=suffix in PARQUET)
    if suffix == ".npz":
        return read_npz(path)
    raise InvalidSetting(f"Expected a table as {KINDS}, got {path}.")


def _read_frame(path: Path, *, parquet: bool) -> Table:
    try:
        # Opened here, so that polars never takes the name for a pattern or an address.
        with path.open("rb") as file:
            frame = pl.read_parquet(file) if parquet else pl.read_ipc(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = "Parquet" if parquet else "Arrow"
        raise Unreadable(f"{path} cannot be read as {kind}: {first_line(error)}.") from error
    if not frame.height:
        raise Unreadable(f"{path} holds no rows; give a table with a row for each case.")
    return Table(name=str(path), frame=frame, place=numbered(str(path)))
