"""The endpoint: the base of all dialects, which finds the version and runs the rows."""

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
"""A dialect's own data for a version, used to read requests and to write answers."""


@dataclass(frozen=True)
class RequestLimits:
    """The limits of one request.

    Attributes:
        timeout_s: the deadline of a request that names none, in seconds.
        body_bytes: the largest body, before and after it is decompressed.
    """

    timeout_s: float
    body_bytes: int


class Question(NamedTuple):
    """A request, read and checked.

    Attributes:
        features: float32 ``[n, ...]``, n ≥ 1.
        timeout_s: the deadline, in seconds after the rows are queued. They are not run after it.
        write: turns the outputs of the run into the answer.
    """

    features: FeatureArray
    timeout_s: float
    write: Callable[[Outputs], Answer]


class EndpointDescription(NamedTuple):
    """The description of an endpoint, from which `pages.openapi` makes the OpenAPI document.

    Attributes:
        dialect: its name.
        verb: what the endpoint does with rows, such as ``predict``.
        request: the pydantic model of a JSON body.
        answer: the pydantic model of a JSON answer.
        forms: the forms of rows and answers other than JSON, by content type.
    """

    dialect: str
    verb: str
    request: type[BaseModel]
    answer: type[BaseModel]
    forms: Mapping[bytes, Form] = MappingProxyType({})


class Endpoint(ABC, Generic[Prepared]):
    """Runs rows; each dialect implements how to read a request and how to write its answer.

    The dialect prepares its data for each version once, when the endpoint is made.

    An endpoint is an ASGI application that answers any request. `connection.connection` answers
    common requests without ASGI, with the same `check` and `question`.

    Args:
        path: the route's template, which is also its label in the metrics.
        repository: finds the version of a request.
        limits: of one request.

    Attributes:
        path: as given.
        limits: as given.
        prepared: the dialect's data, by served version.
    """

    description: ClassVar[EndpointDescription]
    """The description of the dialect."""

    def __init__(self, path: str, repository: Repository, limits: RequestLimits) -> None:
        self.path = path
        self.limits = limits
        self._repository = repository
        self.prepared: Mapping[Served, Prepared] = {
            served: self.prepare(served) for served in repository
        }

    @abstractmethod
    def prepare(self, served: Served) -> Prepared:
        """The dialect's data for a version; called once for each served version."""

    @abstractmethod
    def check(self, headers: Headers) -> None:
        """Refuse a request by its headers alone, before the body is received.

        Args:
            headers: by their lower-case names.

        Raises:
            UnsupportedMediaType: if the dialect does not take the body's content type.
        """

    @abstractmethod
    def question(self, prepared: Prepared, headers: Headers, body: Body) -> Question:
        """Read a request; it may be called in any thread.

        Args:
            prepared: for the version of the request.
            headers: by their lower-case names.
            body: complete and decompressed.

        Raises:
            BadRequest: if the body is not a request of the dialect.
            InvalidInstances: naming the instance and the column that is wrong.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application; errors are left to the caller."""
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
    """Run rows; if the client leaves while there is a backlog, its rows are dropped.

    Args:
        batcher: of the model.
        features: float32 ``[n, ...]``.
        timeout_s: the deadline, in seconds from now. Rows are not run after it.
        receive: of the request, whose body has been read.

    Returns:
        The outputs of the run, each with ``n`` rows.

    Raises:
        QueueFull: where too many rows wait already.
        DeadlineExceeded: where the deadline passed before the run.
        EngineFailure: where the engine could not run these rows.
        NotServing: where the service is stopping.
        ConnectionResetError: where the client has left.
    """
    future = batcher.submit(features, timeout_s)
    # Without a backlog the next run takes the rows. To watch the client would then cost more than
    # it could save.
    return _watched(future, receive) if batcher.has_backlog else future


async def _watched(future: asyncio.Future[Outputs], receive: Receive) -> Outputs:
    watch = asyncio.ensure_future(_cancel_when_client_leaves(receive, future))
    try:
        return await future
    except asyncio.CancelledError:
        if watch.done():
            raise ConnectionResetError from None
        raise
    finally:
        watch.cancel()


async def _cancel_when_client_leaves(receive: Receive, future: asyncio.Future[Outputs]) -> None:
    message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
    future.cancel()
