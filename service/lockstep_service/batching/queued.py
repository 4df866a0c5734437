"""A queued request: its rows on their way through the engine, and who waits for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Outputs


class Waiter(Protocol):
    """Who waits for the rows of a request."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody waits any more: the rows need not be run."""

    def take(self, result: Outputs | Exception) -> None:
        """Take the outputs, each with the request's rows, or the error that is its own.

        It is called once, in the event loop, and raises nothing.
        """


class FutureWaiter:
    """A future as a waiter; whoever cancels it is gone."""

    def __init__(self, future: asyncio.Future[Outputs]) -> None:
        self._future = future

    @property
    def is_gone(self) -> bool:
        """Whether the future was cancelled."""
        return self._future.done()

    def take(self, result: Outputs | Exception) -> None:
        """Settle the future."""
        if self._future.done():
            return
        if isinstance(result, Exception):
            self._future.set_exception(result)
        else:
            self._future.set_result(result)


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request on its way through the engine.

    Attributes:
        features: float32 ``[n, ...]``.
        waiter: for its own rows.
        deadline: by the monotonic clock, in seconds.
        begun: rows that have been given to a run.
        pieces: the outputs of those that have come back.
        finished: rows that have come back.
        is_settled: whether its waiter has an error already, or is gone.
    """

    features: FeatureArray
    waiter: Waiter
    deadline: float
    begun: int = 0
    pieces: list[Outputs] = field(default_factory=list)
    finished: int = 0
    is_settled: bool = False


class Piece(NamedTuple):
    """The rows of a request that take part in one run."""

    request: QueuedRequest
    rows: FeatureArray


class Outcome(NamedTuple):
    """What a run gave to a piece: its rows, or the error that is its own."""

    piece: Piece
    result: Outputs | Exception
