"""The cost of an engine's run on this machine, measured when a model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Outputs

Run = Callable[[FeatureArray], Outputs]

COST_RUNS = 3


class RunCost(NamedTuple):
    """The cost of a run, measured at load.

    Attributes:
        first_row_s: seconds for a run of one row.
        further_row_s: seconds for each further row.
    """

    first_row_s: float
    further_row_s: float

    def of(self, rows: int) -> float:
        """Seconds that a run of ``rows`` rows takes."""
        return self.first_row_s + self.further_row_s * (rows - 1)

    def rows_within(self, seconds: float) -> int:
        """The rows of the largest run that takes at most ``seconds``; at least 1."""
        return 1 + int(max(0.0, seconds - self.first_row_s) / max(self.further_row_s, 1e-9))


def measure_cost(run: Run, row: FeatureArray, max_batch_rows: int) -> RunCost:
    """Measure the cost of a run on this machine.

    Args:
        run: of the engine.
        row: one valid row, float32 ``[1, ...]``.
        max_batch_rows: rows of the largest batch.
    """
    one = _fastest_s(run, row)
    most = _fastest_s(run, np.ascontiguousarray(np.repeat(row, max_batch_rows, axis=0)))
    return RunCost(one, max(0.0, most - one) / max(1, max_batch_rows - 1))


def _fastest_s(run: Run, rows: FeatureArray) -> float:
    seconds = []
    for _ in range(COST_RUNS):
        begin = perf_counter()
        run(rows)
        seconds.append(perf_counter() - begin)
    return min(seconds)
