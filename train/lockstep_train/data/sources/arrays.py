"""Tables made of arrays: NPZ files, and numpy arrays by themselves."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.data.dataset import LearningTask
from lockstep_train.data.table import Table, numbered

PAIRS = (("x", "y"), ("features", "targets"), ("features", "target"), ("data", "target"))
TARGET = "target"
_EXPECTED = "X and y, features and targets, or x_train, y_train, x_test and y_test"


def table_of_arrays(
    features: NDArray[Any],
    targets: NDArray[Any] | None,
    *,
    name: str,
    target: str = TARGET,
    names: Sequence[str] = (),
    task: LearningTask | None = None,
) -> Table:
    """A table of which every column is a number in its place.

    Args:
        features: ``[n, d]`` numbers or booleans, or ``[n, height, width]`` and
            ``[n, height, width, channels]`` images.
        targets: ``[n]`` or ``[n, 1]``; None where a column of the features is predicted.
        name: of the source, for messages.
        target: the name of what is predicted.
        names: of the columns; by default ``x0`` ..., or ``pixel_0_0`` ... of images.
        task: what the target is, where that is known.

    Raises:
        InvalidSetting: arrays of another shape, or of objects.
    """
    if features.ndim < 2 or not np.prod(features.shape) or features.dtype.kind not in "biuf":
        raise InvalidSetting(
            f"The features of {name} must be numbers of shape [rows, columns] or [rows, height, "
            f"width], got {features.dtype} {list(features.shape)}; a table with words comes as a "
            "frame, as CSV or as Parquet."
        )
    names = tuple(names) or _names(features.shape[1:])
    flat = features.reshape(len(features), -1)
    if len(set(names)) != len(names) or len(names) != flat.shape[1]:
        raise InvalidSetting(
            f"{name} needs {flat.shape[1]} different column names, got {len(set(names))}."
        )
    flat = flat.astype(np.uint8) if flat.dtype == bool else flat
    flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat
    frame = pl.DataFrame({column: flat[:, i] for i, column in enumerate(names)})
    if targets is not None:
        frame = frame.with_columns(_targets(targets, len(flat), name, target))
    return Table(
        name=name,
        frame=frame,
        place=numbered(name),
        target=target if targets is not None else None,
        task=task,
        fixed=True,
    )


def _names(shape: Sequence[int]) -> tuple[str, ...]:
    prefix, joint = ("x", "") if len(shape) == 1 else ("pixel_", "_")
    places = product(*map(range, shape))
    return tuple(f"{prefix}{joint.join(map(str, place))}" for place in places)


def _targets(targets: NDArray[Any], rows: int, name: str, target: str) -> pl.Series:
    flat = targets.reshape(-1) if targets.shape in {(rows,), (rows, 1)} else None
    if flat is None:
        raise InvalidSetting(
            f"The targets of {name} must be [{rows}], one for each row, got "
            f"{list(targets.shape)}; bring one-hot classes as one label a row."
        )
    # `tolist` leaves numpy's own strings and objects behind.
    return pl.Series(target, flat.tolist() if flat.dtype.kind in "OUS" else flat, strict=False)


def read_npz(path: Path) -> Table:
    """Read the arrays of an NPZ file: features and targets, with or without a test split.

    Raises:
        Unreadable: the file is no such archive, or its arrays are others than expected.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key.lower(): file[key] for key in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise Unreadable(
            f"{path} cannot be read as NPZ arrays of numbers or strings: {error}."
        ) from error
    try:
        return _table_of_npz(arrays, path)
    except InvalidSetting as error:
        raise Unreadable(str(error)) from error


def _table_of_npz(arrays: Mapping[str, NDArray[Any]], path: Path) -> Table:
    if {"x_train", "y_train"} <= arrays.keys():
        table = table_of_arrays(arrays["x_train"], arrays["y_train"], name=str(path))
        if not {"x_test", "y_test"} <= arrays.keys():
            return table
        test = table_of_arrays(arrays["x_test"], arrays["y_test"], name=f"{path} (x_test)")
        return table.followed_by(test, table.frame.columns)
    for features, targets in PAIRS:
        if {features, targets} <= arrays.keys():
            return table_of_arrays(arrays[features], arrays[targets], name=str(path))
    raise Unreadable(
        f"{path}: expected the arrays {_EXPECTED}, got {', '.join(arrays) or 'none'}; rename them."
    )
