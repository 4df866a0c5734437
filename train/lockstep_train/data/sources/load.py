"""From the name of a source to its data set."""

from __future__ import annotations

import os
from pathlib import Path

from lockstep.errors import InvalidSetting, NotFound
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.section import did_you_mean
from lockstep_train.data.assembly import assemble
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.sources.built_in import BUILT_IN, built_in_table
from lockstep_train.data.sources.files import KINDS, read_table
from lockstep_train.data.table import Table


def load(source: str, configuration: Configuration) -> Dataset:
    """Read a source, split it, describe its columns by the training rows, and encode it.

    A classification is split so that every part has each class in its share. The same seed gives
    the same parts. Kinds of columns that are not set are inferred; vocabularies and statistics
    come from the training rows alone.

    Args:
        source: one of ``BUILT_IN``, or a path: CSV, Parquet, Arrow, NPZ, a folder of IDX files.
        configuration: its sections data, columns and preprocessing say what is read and how; its
            seed decides which row goes where.

    Raises:
        InvalidSetting: an unknown source, or settings that it does not allow.
        NotFound: there is no such file.
        Unreadable: naming the file, the line and the column that cannot be trained on.
    """
    data = configuration.data
    table = _read_source(source, configuration)
    if data.test is not None:
        test = read_table(Path(data.test), data)
        wanted = [name for name in table.frame.columns if name not in data.drop]
        table = table.followed_by(test, wanted)
    return assemble(table, configuration)


def _read_source(source: str, configuration: Configuration) -> Table:
    if source in BUILT_IN:
        return built_in_table(source)
    path = Path(source)
    if path.exists():
        return read_table(path, configuration.data)
    if path.suffix or os.sep in source:
        raise NotFound(f"There is no file {source}; give {KINDS}, or one of {', '.join(BUILT_IN)}.")
    raise InvalidSetting(
        f"There is no source {source!r}.{did_you_mean(source, BUILT_IN)} There are: "
        f"{', '.join(BUILT_IN)}; or a path to {KINDS}."
    )
