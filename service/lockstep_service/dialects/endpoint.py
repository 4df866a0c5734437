"""What the endpoints of all dialects share: finding the version, and waiting for its rows."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Outputs
from lockstep_service.batching.batcher import Batcher
from lockstep_service.forms.negotiation import Form
from lockstep_service.http.compression import unpack
from lockstep_service.http.headers import Headers
from lockstep_service.http.placement import is_long_to_read, is_long_to_write, placed
from lockstep_service.http.responses import Answer, Body, read_body, send_answer
from lockstep_service.repository.repository import Repository
from lockstep_service.repository.served import Served

Prepared = TypeVar("Prepared")
"""What a dialect needs of a version to read its requests and to write its answers."""


@dataclass(frozen=True)
class Limits:
    """What one request may take.

    Attributes:
        timeout_s: the deadline of a request that names none.
        body_bytes: the largest body, also after it is unpacked.
    """

    timeout_s: float
    body_bytes: int


class Question(NamedTuple):
    """What a request asks for, read and checked.

    Attributes:
        features: float32 ``[n, ...]``, n ≥ 1.
        timeout_s: after which they need not be run any more.
        write: turns the rows of the run into the answer.
    """

    features: FeatureArray
    timeout_s: float
    write: Callable[[Outputs], Answer]


class Operation(NamedTuple):
    """How an endpoint is described to people and machines.

    Attributes:
        dialect: its name.
        verb: what is done to rows.
        request: the model of a JSON body.
        answer: the model of a JSON answer.
        forms: others than JSON in which rows and answers travel, by content type.
    """

    dialect: str
    verb: str
    request: type[BaseModel]
    answer: type[BaseModel]
    forms: Mapping[bytes, Form] = MappingProxyType({})


class Endpoint(ABC, Generic[Prepared]):
    """Runs rows; each dialect says how it reads a request and writes the answer.

    What that takes of a version is prepared when the endpoint is made, and handed to each request.

    Called as a plain ASGI endpoint it answers any request. `connection.connection` asks and answers
    the common ones without ASGI, by the same `check` and `question`.

    Args:
        path: the route's template, as the metrics name it.
        repository: finds the version that a request asks for.
        limits: of one request.

    Attributes:
        prepared: what the dialect needs of each version that is served.
    """

    operation: ClassVar[Operation]
    """How `pages.openapi` describes the dialect."""

    def __init__(self, path: str, repository: Repository, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self._repository = repository
        self.prepared: Mapping[Served, Prepared] = {
            served: self.prepare(served) for served in repository
        }

    @abstractmethod
    def prepare(self, served: Served) -> Prepared:
        """What every request to a version needs; called once for each that is served."""

    @abstractmethod
    def check(self, headers: Headers) -> None:
        """Refuse by the headers alone, before the body is received.

        Raises:
            UnsupportedMediaType: for a body of another type than the dialect's.
        """

    @abstractmethod
    def question(self, prepared: Prepared, headers: Headers, body: Body) -> Question:
        """Read a request; it may be called in any thread.

        Args:
            prepared: for the version that is asked.
            headers: by their lower-case names.
            body: the whole of it, as it was before the client compressed it.

        Raises:
            BadRequest: where it is no request of the dialect.
            InvalidInstances: naming the instance and the column that is wrong.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path_params"]
        served = self._repository.find(path.get("name"), path.get("version"))
        headers = scope["state"]["headers"]
        self.check(headers)
        body = await read_body(receive)
        is_long = is_long_to_read(len(body), headers)
        prepared = self.prepared[served]
        question = await placed(is_long, self._unpacked_question, prepared, headers, body)
        rows = await run(served.batcher, question.features, question.timeout_s, receive)
        answer = await placed(is_long_to_write(rows), question.write, rows)
        await send_answer(send, answer)

    def _unpacked_question(self, prepared: Prepared, headers: Headers, body: Body) -> Question:
        encoding = headers.get(b"content-encoding", b"")
        return self.question(prepared, headers, unpack(body, encoding, self.limits.body_bytes))


def run(
    batcher: Batcher, features: FeatureArray, timeout_s: float, receive: Receive
) -> Awaitable[Outputs]:
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


async def _watched(future: asyncio.Future[Outputs], receive: Receive) -> Outputs:
    watch = asyncio.ensure_future(_cancel_when_gone(receive, future))
    try:
        return await future
    except asyncio.CancelledError:
        if watch.done():
            raise ConnectionResetError from None
        raise
    finally:
        watch.cancel()


async def _cancel_when_gone(receive: Receive, future: asyncio.Future[Outputs]) -> None:
    message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
    future.cancel()
