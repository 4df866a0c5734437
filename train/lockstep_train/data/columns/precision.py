"""What float32, in which a network sees a column, keeps of its numbers."""

from __future__ import annotations

import numpy as np
import polars as pl

from lockstep.errors import Unreadable
from lockstep_train.data.table import Table

LARGEST = float(np.finfo(np.float32).max)
# Steps of float32 as a share of the column's deviation: coarser ones blur what there is to learn.
COARSEST_STEP = 1e-3
_NOTED_LOSS = 0.1


def check_precision(table: Table, values: pl.Series, *, declared: bool) -> str:
    """Refuse a column of numbers that float32 would destroy.

    Args:
        table: names the rows.
        values: one of its columns of numbers, null where one is missing.
        declared: whether a person has said that it is numeric: then it is noted, not refused.

    Returns:
        A sentence on what is lost, or nothing.

    Raises:
        Unreadable: an infinity, a number beyond float32, or a spread that is tiny beside the mean.
    """
    if values.dtype.is_integer() and values.dtype in {pl.Int8, pl.Int16, pl.UInt8, pl.UInt16}:
        return ""
    exact = values.cast(pl.Float64)
    beyond = exact.abs() > LARGEST
    if beyond.any():
        row = table.first(beyond)
        raise Unreadable(
            f"{table.where(row, values.name)}: expected a number within ±3.4e38, which float32 "
            f"holds, got {values[row]}; mend it, or leave it empty if it is missing."
        )
    if values.dtype == pl.Float32:
        return ""
    numbers = exact.drop_nulls().to_numpy()
    kept = numbers.astype(np.float32)
    if np.array_equal(kept, numbers):
        return ""
    deviation = float(numbers.std())
    with np.errstate(over="ignore"):  # beside float32's largest number there is infinity
        step = float(np.spacing(np.abs(kept).max()))
    if step <= COARSEST_STEP * deviation:
        return ""
    before, after = len(np.unique(numbers)), len(np.unique(kept))
    if after > (1 - _NOTED_LOSS) * before:
        return ""
    lost = (
        f"float32 keeps {after} of its {before} different values, since their deviation "
        f"({deviation:.3g}) is tiny beside their size ({numbers.mean():.6g})"
    )
    if declared:
        return f"Column {values.name}: {lost}."
    raise Unreadable(
        f"{table.name}, column {values.name}: {lost}; subtract a fixed number such as "
        f"{np.round(numbers.min()):.0f} in the source, or leave it out with --drop {values.name}."
    )
