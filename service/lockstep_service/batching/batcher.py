"""The batcher: requests that wait at the same time run as one batch.

An idle service adds no delay: a request runs in the next iteration of the event loop, together with
all other requests that the iteration has read from the network. Requests that arrive while the
engine runs form the next batch.

Each request has its own waiter. Requests whose client left or whose deadline passed are dropped
before the run. A run that fails is repeated request by request, so that each request gets only its
own failure. Only ``close`` stops the batcher.

A large request is run in pieces, and goes to the end of the queue after each piece. Its pieces are
small while small requests arrive: a single row waits at most about ``COMPANY_S`` for the rows of a
large request.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Outputs
from lockstep.errors import EngineFailure
from lockstep_service.batching.queued import FutureWaiter, Outcome, Piece, QueuedRequest, Waiter
from lockstep_service.batching.run_cost import Run, RunCost
from lockstep_service.errors import DeadlineExceeded, NotServing, QueueFull
from lockstep_service.view.telemetry import RunMetrics

# How long the rows of a large request may delay small requests.
COMPANY_S = 0.3e-3
# How long after a small request more of them are expected.
COMPANY_REMEMBERED_S = 0.1
LEAST_PIECE_ROWS = 8
# A run in a thread costs about 0.1 ms more, and does not block the event loop.
THREAD_ABOVE_S = 1e-3
# Most runs that are queued for the thread while only large requests wait. The thread then starts
# the next run without waiting for the event loop.
MOST_IN_THREAD = 4
# Longer runs are not queued ahead.
AHEAD_BELOW_S = 3e-3


class Batcher:
    """Runs the rows of waiting requests in batches, and gives each request its own outputs.

    A short run takes place in the event loop, which costs least. A run that is expected to take
    longer than ``THREAD_ABOVE_S`` takes place in a thread, while the event loop reads and answers.
    While only large requests wait, the next runs are queued before the thread is free.

    Args:
        run: of the engine; see `batching.answers.judged`.
        metrics: count the runs, and the rows that wait.
        max_batch_rows: of one run.
        max_queue_rows: that may wait.
        cost: of a run on this machine.
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
        # Rows of a run within COMPANY_S. A request of at most this many rows is small.
        self._small_rows = min(max_batch_rows, max(LEAST_PIECE_ROWS, cost.rows_within(COMPANY_S)))
        self._thread = ThreadPoolExecutor(1, "engine")  # starts its thread at the first use
        self._queue: deque[QueuedRequest] = deque()
        self._queued_rows = 0
        # Waiting rows that `_refuse_if_full` does not count, of requests larger than the queue.
        self._uncounted_rows = 0
        self._rows_per_s = 0.0
        self._turn_is_due = False
        self._in_thread = 0
        self._closed = False
        self._company_until = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def has_backlog(self) -> bool:
        """Whether more rows wait than the next run takes."""
        return self._queued_rows > self._max_batch_rows

    def submit(self, features: FeatureArray, timeout_s: float) -> asyncio.Future[Outputs]:
        """Run rows, in a batch with other waiting requests.

        Args:
            features: float32 ``[n, ...]``, n ≥ 1, valid.
            timeout_s: the deadline, in seconds from now. Rows are not run after it.

        Returns:
            A future of the run's outputs, each with ``n`` rows. It may end in DeadlineExceeded
            (the deadline passed before the run), EngineFailure (the engine could not run these
            rows) or NotServing (the service is stopping). Cancelling it drops the request.

        Raises:
            QueueFull: where too many rows wait already.
            NotServing: where the service is stopping.
        """
        future: asyncio.Future[Outputs] = self._running_loop().create_future()
        self.enqueue(features, timeout_s, FutureWaiter(future))
        return future

    def enqueue(self, features: FeatureArray, timeout_s: float, waiter: Waiter) -> None:
        """Run rows, and give the outputs or the error to a waiter.

        Args:
            features: float32 ``[n, ...]``, n ≥ 1, valid.
            timeout_s: the deadline, in seconds from now. Rows are not run after it.
            waiter: takes what the future of `submit` would hold.

        Raises:
            QueueFull: where too many rows wait already.
            NotServing: where the service is stopping.
        """
        rows = len(features)
        self._admit(rows)
        now = monotonic()
        if rows <= self._small_rows and (self._queue or self._in_thread):
            self._company_until = now + COMPANY_REMEMBERED_S
        self._queue.append(QueuedRequest(features, waiter, now + timeout_s))
        self._queued_rows += rows
        if rows > self._max_queue_rows:
            self._uncounted_rows += self._uncounted(rows)
        if not self._turn_is_due:
            self._schedule(self._running_loop())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is None or not loop.is_running():
            # Kept: in Python 3.11 each call of get_running_loop is a system call (getpid).
            loop = self._loop = asyncio.get_running_loop()
        return loop

    def close(self) -> None:
        """Refuse new requests, and fail the waiting ones with NotServing."""
        self._closed = True
        while self._queue:
            self._fail(self._queue.popleft(), NotServing("The service is stopping; ask another."))
        self._thread.shutdown(wait=False)

    def _admit(self, rows: int) -> None:
        if self._closed:
            raise NotServing("The service is stopping; ask another.")
        # An empty queue admits a request of any size: one larger than the queue would else never
        # be admitted.
        if self._queue and self._queued_rows + rows > self._max_queue_rows:
            self._refuse_if_full(rows)

    def _refuse_if_full(self, rows: int) -> None:
        """Refuse a request for which the queue has no room.

        A request larger than the queue counts as half of it, which leaves room for small requests.
        """
        waiting = self._queued_rows - self._uncounted_rows
        if waiting + rows - self._uncounted(rows) > self._max_queue_rows:
            seconds = self._queued_rows / self._rows_per_s if self._rows_per_s else 1.0
            retry_after_s = max(1, math.ceil(seconds))
            raise QueueFull(
                f"Expected at most {self._max_queue_rows} rows to wait, {self._queued_rows} do; "
                f"try again in {retry_after_s} s.",
                retry_after_s,
            )

    def _uncounted(self, waiting: int) -> int:
        """The waiting rows of a request beyond half of the queue; 0 if it fits into the queue."""
        most = self._max_queue_rows
        return waiting - most // 2 if waiting > most else 0

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Schedule a turn if requests wait and a run may begin or be queued for the thread."""
        if self._queue and (not self._in_thread or self._may_run_ahead()):
            self._turn_is_due = True
            loop.call_soon(self._turn, loop)

    def _may_run_ahead(self) -> bool:
        if self._in_thread >= MOST_IN_THREAD or monotonic() <= self._company_until:
            return False
        return self._cost.of(self._max_batch_rows) < AHEAD_BELOW_S

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run one batch; the rest waits for the next turn, after the network was read again."""
        self._turn_is_due = False
        pieces = self._gather()
        try:
            if pieces and (self._in_thread or self._is_long(pieces)):
                running = loop.run_in_executor(self._thread, self._run_together, pieces)
                running.add_done_callback(lambda done: self._after(loop, done))
                self._in_thread += 1
            elif pieces:
                self._give(self._run_together(pieces))
        finally:
            self._schedule(loop)

    def _is_long(self, pieces: list[Piece]) -> bool:
        return self._cost.of(sum(len(piece.rows) for piece in pieces)) > THREAD_ABOVE_S

    def _after(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[list[Outcome]]) -> None:
        """Give out the outputs of a run that the thread has finished."""
        self._in_thread -= 1
        try:
            self._give(done.result())
        finally:
            if not self._turn_is_due:
                self._schedule(loop)

    def _gather(self) -> list[Piece]:
        """Rows for one run, in order of arrival; a request with more rows returns to the end."""
        space = self._max_batch_rows
        pieces: list[Piece] = []
        now = monotonic()
        while self._queue and space:
            request = self._queue.popleft()
            if not self._is_wanted(request, now):
                continue
            waiting = len(request.features) - request.begun
            taken = min(waiting, space)
            if waiting > space:
                taken = min(space, self._large_piece_rows(now))
                space = taken  # no further request joins this run
            whole = taken == len(request.features)
            rows = (
                request.features
                if whole
                else request.features[request.begun : request.begun + taken]
            )
            request.begun += taken
            space -= taken
            self._queued_rows -= taken
            if waiting > self._max_queue_rows:
                self._uncounted_rows += self._uncounted(waiting - taken) - self._uncounted(waiting)
            pieces.append(Piece(request, rows))
            if taken < waiting:
                self._queue.append(request)
        self._metrics.queued(self._queued_rows)
        return pieces

    def _large_piece_rows(self, now: float) -> int:
        """Rows of a large request in one run: few while small requests are expected."""
        return self._max_batch_rows if now > self._company_until else self._small_rows

    def _is_wanted(self, request: QueuedRequest, now: float) -> bool:
        if request.waiter.is_gone:
            self._leave(request)
            return False
        if now > request.deadline:
            self._fail(
                request, DeadlineExceeded("The deadline passed before the rows could be run.")
            )
            return False
        return True

    def _fail(self, request: QueuedRequest, error: Exception) -> None:
        self._leave(request)
        request.waiter.take(error)

    def _leave(self, request: QueuedRequest) -> None:
        """Drop the waiting rows of a request; the outputs of its running pieces are not given."""
        waiting = len(request.features) - request.begun
        self._queued_rows -= waiting
        self._uncounted_rows -= self._uncounted(waiting)
        request.begun = len(request.features)
        request.is_settled = True

    def _run_together(self, pieces: list[Piece]) -> list[Outcome]:
        """Run pieces as one batch; if that fails, run each piece alone."""
        try:
            outputs = self._run_rows([piece.rows for piece in pieces])
        except Exception as error:  # noqa: BLE001 - no error may reach the other requests
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

    def _run_rows(self, rows: list[FeatureArray]) -> Outputs:
        features = rows[0] if len(rows) == 1 else np.concatenate(rows)
        begin = monotonic()
        outputs = self._run(features)
        seconds = monotonic() - begin
        for output in outputs:
            if len(output) != len(features):  # rows would go to the wrong request
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
        for (request, rows), result in outcomes:
            if request.is_settled:  # an earlier piece of it failed while this one ran
                continue
            if isinstance(result, Exception):
                if request.begun < len(request.features):
                    self._queue.remove(request)
                self._fail(request, result)
                continue
            if rows is request.features:
                request.waiter.take(result)
                continue
            request.pieces.append(result)
            request.finished += len(rows)
            if request.finished == len(request.features) and not request.waiter.is_gone:
                whole = tuple(np.concatenate(parts) for parts in zip(*request.pieces, strict=True))
                request.waiter.take(whole)
