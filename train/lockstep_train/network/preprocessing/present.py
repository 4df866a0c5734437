"""What a column held in training: its values without those that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Columns are brought together in memory by the block: one by one they would touch each row's
# memory once a column.
_BLOCK_BYTES = 2**26


def present_values(columns: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Each column's values that are there, in float64.

    Args:
        columns: ``[n, d]``; NaN is missing.

    Yields:
        ``d`` arrays ``[n present]``; a single 0 where a column holds no value at all.
    """
    block = max(1, _BLOCK_BYTES // max(1, columns.itemsize * len(columns)))
    for start in range(0, columns.shape[1], block):
        for values in np.ascontiguousarray(columns[:, start : start + block].T):
            there = values[~np.isnan(values)].astype(np.float64)
            yield there if len(there) else np.zeros(1)
