"""What the endpoints of all dialects share: finding the version, and waiting for its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Rows
from service.batching import Batcher
from service.repository import Repository, Served

Find = Callable[[Scope], Served]


@dataclass(frozen=True)
class Limits:
    """What one request may take.

    Attributes:
        timeout_s: the deadline of a request that names none.
        body_bytes: the largest body, also after it is unpacked.
    """

    timeout_s: float
    body_bytes: int


def by_path(repository: Repository) -> Find:
    """Finds the version that the path of a routed request names."""

    def find(scope: Scope) -> Served:
        path = scope["path_params"]
        return repository.find(path.get("name"), path.get("version"))

    return find


def always(served: Served) -> Find:
    """Finds the one version that an exact path stands for."""
    return lambda _: served


def run(
    batcher: Batcher, features: FeatureArray, timeout_s: float, receive: Receive
) -> Awaitable[Rows]:
    """Run rows; a client that leaves while there is a backlog takes its rows out of the queue.

    Args:
        batcher: of the model.
        features: float32 ``[n, ...]``.
        timeout_s: after which they are not run any more.
        receive: of the request, whose body has been read.

    Raises:
        QueueFull: where too many rows wait already.
        DeadlineExceeded: where the time ran out before the run.
        EngineFailure: where the engine could not run these rows.
        NotServing: where the service is stopping.
        ConnectionResetError: where the client has left.
    """
    future = batcher.submit(features, timeout_s)
    # What the next run takes is not watched: it would cost more than it could save.
    return _watched(future, receive) if batcher.has_backlog else future


async def _watched(future: asyncio.Future[Rows], receive: Receive) -> Rows:
    watch = asyncio.ensure_future(_cancel_when_gone(receive, future))
    try:
        return await future
    except asyncio.CancelledError:
        if watch.done():
            raise ConnectionResetError from None
        raise
    finally:
        watch.cancel()


async def _cancel_when_gone(receive: Receive, future: asyncio.Future[Rows]) -> None:
    message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
    future.cancel()
