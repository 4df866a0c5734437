"""Batching: requests that wait together run together, and never wait for ever.

An idle service adds no delay: a request runs in the next turn of the event loop, with whatever
else that turn has read from the network. While the engine runs, requests gather in the sockets and
run together in the turn after.

Each item carries its own future. What is cancelled or past its deadline leaves before the run; a
run that fails is repeated item by item, so that each bears its own failure only; nothing but
``close`` ends the work.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Rows
from lockstep.errors import EngineFailure
from service.errors import DeadlineExceeded, NotServing, QueueFull
from service.telemetry import RunMetrics

Run = Callable[[FeatureArray], Rows]


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


class Batcher:
    """Gathers the rows of waiting requests for one engine, and gives each its own back."""

    def __init__(
        self, run: Run, metrics: RunMetrics, *, max_batch_rows: int, max_queue_rows: int
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._queue: deque[Item] = deque()
        self._queued_rows = 0
        self._rows_per_s = 0.0
        self._scheduled = False
        self._closed = False

    async def submit(self, features: FeatureArray, timeout_s: float) -> Rows:
        """Run rows, together with whatever waits.

        Args:
            features: float32 ``[n, ...]``, n ≥ 1, valid.
            timeout_s: after which they are not run any more.

        Returns:
            The outputs in the manifest's order, each with ``n`` rows.

        Raises:
            QueueFull: where too many rows wait already.
            DeadlineExceeded: where the time ran out before the run.
            EngineFailure: where the engine could not run these rows.
            NotServing: where the service is stopping.
        """
        self._admit(len(features))
        loop = asyncio.get_running_loop()
        item = Item(features, loop.create_future(), monotonic() + timeout_s)
        self._queue.append(item)
        self._count(len(features))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._turn, loop)
        return await item.future

    def close(self) -> None:
        """Refuse what comes, and answer what waits with the reason."""
        self._closed = True
        while self._queue:
            self._fail(self._queue.popleft(), NotServing("The service is stopping; ask another."))

    def _admit(self, rows: int) -> None:
        if self._closed:
            raise NotServing("The service is stopping; ask another.")
        # A request larger than the whole queue is taken by an idle service: it could never be
        # taken otherwise.
        if self._queue and self._queued_rows + rows > self._max_queue_rows:
            seconds = self._queued_rows / self._rows_per_s if self._rows_per_s else 1.0
            retry_after_s = max(1, math.ceil(seconds))
            raise QueueFull(
                f"Expected at most {self._max_queue_rows} rows to wait, {self._queued_rows} do; "
                f"try again in {retry_after_s} s.",
                retry_after_s,
            )

    def _count(self, rows: int) -> None:
        self._queued_rows += rows
        self._metrics.queued(self._queued_rows)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run one batch; what still waits has its turn after the network was read again."""
        try:
            pieces = self._gather()
            if pieces:
                self._run_together(pieces)
        finally:
            self._scheduled = bool(self._queue)
            if self._scheduled:
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
            rows = item.features[item.begun : item.begun + space]
            item.begun += len(rows)
            space -= len(rows)
            self._count(-len(rows))
            pieces.append(Piece(item, rows))
            if item.begun < len(item.features):
                self._queue.append(item)
        return pieces

    def _is_wanted(self, item: Item, now: float) -> bool:
        if item.future.done():
            self._count(item.begun - len(item.features))
            return False
        if now > item.deadline:
            self._fail(item, DeadlineExceeded("The deadline passed before the rows could be run."))
            return False
        return True

    def _fail(self, item: Item, error: Exception) -> None:
        self._count(item.begun - len(item.features))
        if not item.future.done():
            item.future.set_exception(error)

    def _run_together(self, pieces: list[Piece]) -> None:
        try:
            outputs = self._run_rows([piece.rows for piece in pieces])
        except Exception as error:  # noqa: BLE001 - whatever it is, neighbours must not bear it
            self._run_apart(pieces, error)
            return
        start = 0
        for piece in pieces:
            stop = start + len(piece.rows)
            self._give(piece.item, tuple(output[start:stop] for output in outputs))
            start = stop

    def _run_rows(self, rows: list[FeatureArray]) -> Rows:
        features = rows[0] if len(rows) == 1 else np.concatenate(rows)
        with self._metrics.run(len(features)):
            begin = monotonic()
            outputs = self._run(features)
            self._measure(len(features), monotonic() - begin)
        for output in outputs:
            if len(output) != len(features):  # else rows would go to the wrong request
                raise EngineFailure(
                    f"Expected {len(features)} rows of output, got {len(output)}; nothing of this "
                    f"run can be given to anybody."
                )
        return outputs

    def _run_apart(self, pieces: list[Piece], error: Exception) -> None:
        """Repeat a failed run item by item."""
        if len(pieces) > 1:
            for piece in pieces:
                self._run_together([piece])
            return
        item = pieces[0].item
        if item in self._queue:
            self._queue.remove(item)
        self._fail(item, error)

    def _measure(self, rows: int, seconds: float) -> None:
        """Keep a running mean of the rate at which the queue drains."""
        rate = rows / max(seconds, 1e-6)
        self._rows_per_s = rate if not self._rows_per_s else 0.9 * self._rows_per_s + 0.1 * rate

    def _give(self, item: Item, outputs: Rows) -> None:
        if item.begun == len(item.features) and not item.pieces:
            if not item.future.done():
                item.future.set_result(outputs)
            return
        item.pieces.append(outputs)
        if item.begun == len(item.features) and not item.future.done():
            item.future.set_result(
                tuple(np.concatenate(parts) for parts in zip(*item.pieces, strict=True))
            )
