"""Frames and arrays of a Python program, as data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.assembly import assemble
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.sources.arrays import table_of_arrays
from lockstep_train.data.table import Table, numbered


def dataset_of(
    frame: Any,
    configuration: Configuration,
    *,
    name: str = "frame",
    target: Any = None,
    test: Any = None,
) -> Dataset:
    """Split, describe and encode a frame, as `data.sources.load.load` does with a file.

    Args:
        frame: a polars or pandas frame (a pandas index is passed over), or a numpy array
            ``[n, d]`` of numbers, of which no column is left out.
        configuration: its sections data, columns and preprocessing decide; its seed draws.
        name: what messages call the frame.
        target: what is predicted, ``[n]``, where it is no column of the frame; it is called
            ``data.target``, or ``target`` where that is not set.
        test: a frame of the same columns, the target among them, that is tested on.

    Returns:
        the dataset.

    Raises:
        InvalidSetting: settings that the frame does not allow, or another kind of object.
        Unreadable: naming the row and the column that cannot be trained on.
    """
    table = table_of(frame, name=name, target=target, target_name=configuration.data.target)
    if test is not None:
        tested = table_of(test, name=f"{name} (test)")
        wanted = [column for column in table.frame.columns if column not in configuration.data.drop]
        table = table.followed_by(tested, wanted)
    return assemble(table, configuration)


def table_of(frame: Any, *, name: str, target: Any = None, target_name: str | None = None) -> Table:
    """A polars or pandas frame or a numpy array, as a table.

    Raises:
        InvalidSetting: another kind of object, no rows, or a target of another length.
    """
    called = target_name or "target"
    if isinstance(frame, np.ndarray):
        values = None if target is None else np.asarray(target)
        return table_of_arrays(frame, values, name=name, target=called)
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, pl.DataFrame):
        frame = _from_pandas(frame, name)
    if not frame.height:
        raise InvalidSetting(f"{name} holds no rows; give a row for each case.")
    if target is not None:
        frame = frame.with_columns(_target(target, called, frame.height, name))
    return Table(
        name=name,
        frame=frame,
        place=numbered(name),
        target=called if target is not None else None,
    )


def _target(target: Any, called: str, rows: int, name: str) -> pl.Series:
    if type(target).__module__.split(".")[0] == "pandas":
        values = _series(called, target)
    else:
        values = target if isinstance(target, pl.Series) else pl.Series(called, np.asarray(target))
    if len(values) != rows:
        raise InvalidSetting(
            f"The target of {name} must have a value for each of its {rows} rows, got "
            f"{len(values)}."
        )
    return values.alias(called)


def _from_pandas(frame: Any, name: str) -> pl.DataFrame:
    """A pandas frame, column by column: polars' own way needs pyarrow for some types."""
    if type(frame).__name__ != "DataFrame" or not hasattr(frame, "iloc"):
        raise InvalidSetting(
            f"{name} must be a polars or pandas frame or a numpy array, got {type(frame).__name__}."
        )
    names = list(map(str, frame.columns))
    if len(set(names)) != len(names):
        twice = next(column for column in names if names.count(column) > 1)
        raise InvalidSetting(f"{name} names two columns {twice!r}; rename one of them.")
    return pl.DataFrame([_series(column, frame.iloc[:, i]) for i, column in enumerate(names)])


def _series(name: str, column: Any) -> pl.Series:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
        return pl.Series(name, column.to_numpy())
    # Nullable, text and categorical types: None where a value is missing.
    plain = column.astype(object)
    values = plain.where(column.notna(), None).tolist()
    categories = getattr(column.dtype, "categories", None)
    try:
        if categories is not None and all(isinstance(word, str) for word in categories):
            return pl.Series(name, values, dtype=pl.Enum(list(categories)))
        return pl.Series(name, values)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise InvalidSetting(
            f"Column {name} holds values of several types; make them all numbers, or all strings."
        ) from error
