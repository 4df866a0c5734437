"""A lap: one epoch, run when it is asked for, so that the arms take turns."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import NamedTuple, Self


class Figures(NamedTuple):
    """What one epoch took: by the clock, and of the processors in all threads."""

    wall_s: float
    cpu_s: float


class Lap:
    """Waits for a line, times the block, writes the figures as a line.

    The process ends when nobody asks any more.
    """

    def __enter__(self) -> Self:
        if not sys.stdin.readline():
            raise SystemExit
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
            # To the descriptor that `measure` reads: libraries print to the other one.
            sys.__stdout__.write(json.dumps([wall, cpu]) + "\n")  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]
