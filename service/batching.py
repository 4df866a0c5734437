"""Batching: requests that wait together run together, and never wait for ever.

An idle service adds no delay: a request runs in the next turn of the event loop, with whatever
else that turn has read from the network. While the engine runs, requests gather and run together in
the turn after.

Each item carries its own future. What is cancelled or past its deadline leaves before the run; a
run that fails is repeated item by item, so that each bears its own failure only; nothing but
``close`` ends the work.

A large item is run in pieces, and goes to the end of the queue after each. In company its pieces
are small: a single row never waits for longer than about ``COMPANY_S`` for somebody else's rows.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import NamedTuple

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Rows
from lockstep.errors import EngineFailure
from service.errors import DeadlineExceeded, NotServing, QueueFull
from service.telemetry import RunMetrics

Run = Callable[[FeatureArray], Rows]

# How long the rows of a large item may hold up the others, and how long after one of them it is
# taken for granted that more will come.
COMPANY_S = 0.3e-3
COMPANY_REMEMBERED_S = 0.1
LEAST_PIECE_ROWS = 8
COST_RUNS = 3
# A run in a thread costs about 0.1 ms more, and keeps the event loop free meanwhile.
THREAD_ABOVE_S = 1e-3


class RunCost(NamedTuple):
    """What a run costs, measured at load: seconds for its first row, and for each further one."""

    first_row_s: float
    further_row_s: float

    def of(self, rows: int) -> float:
        """Seconds that a run of so many rows takes."""
        return self.first_row_s + self.further_row_s * (rows - 1)

    def rows_within(self, seconds: float) -> int:
        """The rows of the largest run that takes no longer."""
        return 1 + int(max(0.0, seconds - self.first_row_s) / max(self.further_row_s, 1e-9))


def measure_cost(run: Run, row: FeatureArray, max_batch_rows: int) -> RunCost:
    """Measure what a run costs on this machine.

    Args:
        run: of the engine.
        row: one valid row, ``[1, ...]``.
        max_batch_rows: the largest batch that it will be given.
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


@dataclass(slots=True, eq=False)
class Item:
    """One request on its way through the engine.

    Attributes:
        features: float32 ``[n, ...]``.
        future: of its own rows.
        deadline: by the monotonic clock, in seconds.
        begun: rows that have been run.
        pieces: the outputs of those rows.
    """

    features: FeatureArray
    future: asyncio.Future[Rows]
    deadline: float
    begun: int = 0
    pieces: list[Rows] = field(default_factory=list)


class Piece(NamedTuple):
    """The rows of an item that take part in one run."""

    item: Item
    rows: FeatureArray


class Outcome(NamedTuple):
    """What a run gave to a piece: its rows, or the error that is its own."""

    piece: Piece
    result: Rows | Exception


class Batcher:
    """Gathers the rows of waiting requests for one engine, and gives each its own back.

    A short run takes place in the event loop: that costs least. A run that is expected to take
    longer than ``THREAD_ABOVE_S`` takes place in a thread, and the event loop goes on reading and
    answering.
    """

    def __init__(
        self,
        run: Run,
        metrics: RunMetrics,
        *,
        max_batch_rows: int,
        max_queue_rows: int,
        cost: RunCost,
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._cost = cost
        self._thread = ThreadPoolExecutor(1, "engine")  # its thread starts when it is first needed
        self._queue: deque[Item] = deque()
        self._queued_rows = 0
        self._rows_per_s = 0.0
        self._busy = False
        self._closed = False
        self._company_until = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def has_backlog(self) -> bool:
        """Whether more rows wait than the next run takes."""
        return self._queued_rows > self._max_batch_rows

    def submit(self, features: FeatureArray, timeout_s: float) -> asyncio.Future[Rows]:
        """Run rows, together with whatever waits.

        Args:
            features: float32 ``[n, ...]``, n ≥ 1, valid.
            timeout_s: after which they are not run any more.

        Returns:
            A future of the run's outputs, each with ``n`` rows. It may end in DeadlineExceeded
            (the time ran out before the run), EngineFailure (the engine could not run these rows)
            or NotServing (the service is stopping). Whoever cancels it leaves the queue.

        Raises:
            QueueFull: where too many rows wait already.
            NotServing: where the service is stopping.
        """
        rows = len(features)
        self._admit(rows)
        loop = self._loop
        if loop is None or not loop.is_running():
            # Asked once: in Python 3.11 it is a call of the system (of getpid) each time.
            loop = self._loop = asyncio.get_running_loop()
        now = monotonic()
        future: asyncio.Future[Rows] = loop.create_future()
        if self._queue or self._busy:
            self._company_until = now + COMPANY_REMEMBERED_S
        self._queue.append(Item(features, future, now + timeout_s))
        self._queued_rows += rows
        if not self._busy:
            self._busy = True
            loop.call_soon(self._turn, loop)
        return future

    def close(self) -> None:
        """Refuse what comes, and answer what waits with the reason."""
        self._closed = True
        while self._queue:
            self._fail(self._queue.popleft(), NotServing("The service is stopping; ask another."))
        self._thread.shutdown(wait=False)

    def _admit(self, rows: int) -> None:
        if self._closed:
            raise NotServing("The service is stopping; ask another.")
        # A request larger than the whole queue is taken by an idle service: it could never be
        # taken otherwise.
        if self._queue and self._queued_rows + rows > self._max_queue_rows:
            self._refuse_if_full(rows)

    def _refuse_if_full(self, rows: int) -> None:
        """Count a request larger than the queue as half of it: the other half is for the others."""
        most = self._max_queue_rows
        waiting = [rows, *(len(item.features) - item.begun for item in self._queue)]
        if sum(n if n <= most else most // 2 for n in waiting) > most:
            seconds = self._queued_rows / self._rows_per_s if self._rows_per_s else 1.0
            retry_after_s = max(1, math.ceil(seconds))
            raise QueueFull(
                f"Expected at most {self._max_queue_rows} rows to wait, {self._queued_rows} do; "
                f"try again in {retry_after_s} s.",
                retry_after_s,
            )

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run one batch; what still waits has its turn after the network was read again."""
        pieces = self._gather()
        if not pieces:
            self._next(loop)
        elif not self._is_long(pieces):
            try:
                self._give(self._run_together(pieces))
            finally:
                self._next(loop)
        else:
            running = loop.run_in_executor(self._thread, self._run_together, pieces)
            running.add_done_callback(lambda done: self._after(loop, done))

    def _is_long(self, pieces: list[Piece]) -> bool:
        return self._cost.of(sum(len(piece.rows) for piece in pieces)) > THREAD_ABOVE_S

    def _after(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[list[Outcome]]) -> None:
        """Give what the thread has run."""
        try:
            self._give(done.result())
        finally:
            self._next(loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = bool(self._queue)
        if self._busy:
            loop.call_soon(self._turn, loop)

    def _gather(self) -> list[Piece]:
        """Rows for one run, in order of arrival; an item that is larger goes to the end again."""
        space = self._max_batch_rows
        pieces: list[Piece] = []
        now = monotonic()
        while self._queue and space:
            item = self._queue.popleft()
            if not self._is_wanted(item, now):
                continue
            waiting = len(item.features) - item.begun
            taken = min(waiting, space)
            if waiting > space:
                taken = min(space, self._large_piece_rows(now))
                space = taken  # it is the last of this run
            whole = taken == len(item.features)
            rows = item.features if whole else item.features[item.begun : item.begun + taken]
            item.begun += taken
            space -= taken
            self._queued_rows -= taken
            pieces.append(Piece(item, rows))
            if taken < waiting:
                self._queue.append(item)
        self._metrics.queued(self._queued_rows)
        return pieces

    def _large_piece_rows(self, now: float) -> int:
        """Rows of a large item in one run: few where others come and go."""
        if now > self._company_until and not self._queue:
            return self._max_batch_rows
        return min(self._max_batch_rows, max(LEAST_PIECE_ROWS, self._cost.rows_within(COMPANY_S)))

    def _is_wanted(self, item: Item, now: float) -> bool:
        if item.future.done():
            self._queued_rows -= len(item.features) - item.begun
            return False
        if now > item.deadline:
            self._fail(item, DeadlineExceeded("The deadline passed before the rows could be run."))
            return False
        return True

    def _fail(self, item: Item, error: Exception) -> None:
        self._queued_rows -= len(item.features) - item.begun
        item.begun = len(item.features)
        if not item.future.done():
            item.future.set_exception(error)

    def _run_together(self, pieces: list[Piece]) -> list[Outcome]:
        """Run pieces as one batch; where that fails, each by itself."""
        try:
            outputs = self._run_rows([piece.rows for piece in pieces])
        except Exception as error:  # noqa: BLE001 - whatever it is, neighbours must not bear it
            if len(pieces) == 1:
                return [Outcome(pieces[0], error)]
            return [outcome for piece in pieces for outcome in self._run_together([piece])]
        if len(pieces) == 1:
            return [Outcome(pieces[0], outputs)]
        outcomes = []
        start = 0
        for piece in pieces:
            stop = start + len(piece.rows)
            outcomes.append(Outcome(piece, tuple([output[start:stop] for output in outputs])))
            start = stop
        return outcomes

    def _run_rows(self, rows: list[FeatureArray]) -> Rows:
        features = rows[0] if len(rows) == 1 else np.concatenate(rows)
        begin = monotonic()
        outputs = self._run(features)
        seconds = monotonic() - begin
        for output in outputs:
            if len(output) != len(features):  # else rows would go to the wrong request
                raise EngineFailure(
                    f"Expected {len(features)} rows of output, got {len(output)}; nothing of this "
                    f"run can be given to anybody."
                )
        self._metrics.ran(len(features), seconds)
        # A running mean of the rate at which the queue drains.
        rate = len(features) / max(seconds, 1e-6)
        self._rows_per_s = rate if not self._rows_per_s else 0.9 * self._rows_per_s + 0.1 * rate
        return outputs

    def _give(self, outcomes: list[Outcome]) -> None:
        for (item, _), result in outcomes:
            if isinstance(result, Exception):
                if item.begun < len(item.features):
                    self._queue.remove(item)
                self._fail(item, result)
                continue
            if item.begun == len(item.features) and not item.pieces:
                if not item.future.done():
                    item.future.set_result(result)
                continue
            item.pieces.append(result)
            if item.begun == len(item.features) and not item.future.done():
                whole = tuple(np.concatenate(parts) for parts in zip(*item.pieces, strict=True))
                item.future.set_result(whole)
