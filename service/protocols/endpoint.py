"""What the endpoints of all dialects share: finding the version, and waiting for its rows."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Rows
from service.batching import Batcher
from service.compression import unpack
from service.repository import Repository, Served
from service.responses import Body, read_body

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


class Endpoint(ABC):
    """A plain ASGI endpoint that runs rows; each dialect says how it answers.

    Args:
        path: the route's template, as the metrics name it.
        find: finds the version that a request asks for.
        limits: of one request.
    """

    def __init__(self, path: str, find: Find, limits: Limits) -> None:
        self.path = path
        self._find = find
        self._limits = limits

    @abstractmethod
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

    @classmethod
    def routes(
        cls, paths: Sequence[str], repository: Repository, limits: Limits
    ) -> list[BaseRoute]:
        """The routes of the dialect, which find the version by the path."""

        def find(scope: Scope) -> Served:
            path = scope["path_params"]
            return repository.find(path.get("name"), path.get("version"))

        return [Route(path, cls(path, find, limits), methods=["POST"]) for path in paths]

    @classmethod
    def hot_paths(
        cls, paths: Sequence[str], repository: Repository, limits: Limits
    ) -> dict[str, ASGIApp]:
        """The endpoint of every exact path of a model that is served."""
        found: dict[str, ASGIApp] = {}
        for name, version, served in repository.addresses():
            for path in paths:
                named = ("{name}" in path, "{version}" in path)
                if named == (name is not None, version is not None):
                    exact = path.format(name=name, version=version)
                    found[exact] = cls(path, _always(served), limits)
        return found

    async def _body(self, scope: Scope, receive: Receive) -> Body:
        """The whole body, as it was before the client compressed it."""
        body = await read_body(receive)
        encoding = scope["state"]["headers"].get(b"content-encoding")
        return body if encoding is None else unpack(body, encoding, self._limits.body_bytes)


def _always(served: Served) -> Find:
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
