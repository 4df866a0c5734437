"""A queued request: its rows, its deadline, and the waiter for its outputs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Outputs


class Waiter(Protocol):
    """Takes the outputs of one request."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has left; the rows need not be run."""

    def take(self, result: Outputs | Exception) -> None:
        """Take the outputs of the request's rows, or its error.

        The batcher calls it at most once, in the event loop. It must not raise.

        Args:
            result: the outputs, each ``[n, ...]`` for the request's ``n`` rows, or the error.
        """


class FutureWaiter:
    """A waiter that resolves a future. A cancelled future means that the client has left."""

    def __init__(self, future: asyncio.Future[Outputs]) -> None:
        self._future = future

    @property
    def is_gone(self) -> bool:
        """Whether the future was cancelled."""
        return self._future.done()

    def take(self, result: Outputs | Exception) -> None:
        """Resolve the future."""
        if self._future.done():
            return
        if isinstance(result, Exception):
            self._future.set_exception(result)
        else:
            self._future.set_result(result)


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request in the queue or in a run.

    Attributes:
        features: float32 ``[n, ...]``.
        waiter: takes the outputs of its rows.
        deadline: by the monotonic clock, in seconds.
        begun: number of rows that were given to a run.
        pieces: the outputs of the finished pieces.
        finished: number of rows whose run has finished.
        is_settled: whether its waiter already has an error, or its client has left.
    """

    features: FeatureArray
    waiter: Waiter
    deadline: float
    begun: int = 0
    pieces: list[Outputs] = field(default_factory=list)
    finished: int = 0
    is_settled: bool = False


class Piece(NamedTuple):
    """The rows of one request in one run."""

    request: QueuedRequest
    rows: FeatureArray


class Outcome(NamedTuple):
    """The result of a run for one piece: its outputs, or its error."""

    piece: Piece
    result: Outputs | Exception
