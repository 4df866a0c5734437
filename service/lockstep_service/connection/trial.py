"""The trial: connections answer test requests over socket pairs before the service starts.

`connection.connection` relies on private attributes and calls of uvicorn's connection, which may
change with any release. The trial checks them with the classes that will serve, a small endpoint
behind a shortcut, and a small ASGI application. It takes about 3 ms.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

import httptools
import numpy as np
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstep_service.batching.queued import Waiter
from lockstep_service.connection.shortcuts import Shortcut, Shortcuts
from lockstep_service.dialects.endpoint import Endpoint, Question, RequestLimits
from lockstep_service.http.headers import Headers, RequestIds
from lockstep_service.http.observed import CLIENT_LEFT
from lockstep_service.http.responses import Answer, Body, read_body, send_answer
from lockstep_service.repository.repository import Repository
from lockstep_service.repository.served import Served
from lockstep_service.view.telemetry import Telemetry

if TYPE_CHECKING:
    from lockstep_service.connection.connection import Connection

# The versions of uvicorn that the tests were run with.
TESTED = "uvicorn>=0.34,<0.55"
LONGEST_S = 5.0  # of the whole trial; only a missing answer takes so long
PATH = "/trial"
TEXT = (b"content-type", b"text/plain")
DATE = (b"date", b"today")
THROUGH = b"through ASGI"
# More than a connection reads in one iteration of the event loop.
LARGE_BODY = bytes(range(256)) * 1100
MOST_TURNS = 100  # iterations of the event loop until sent bytes are read; one or two suffice


class Fault(Exception):
    """The connection did not do what it should; the message names it."""


def fault_of(configure: Callable[[ASGIApp], uvicorn.Config]) -> str | None:
    """Try our connections with the installed uvicorn.

    Args:
        configure: makes uvicorn's configuration for an application, as it will serve.

    Returns:
        The faults, as one line; None if there are none.
    """
    # In a thread: the handler of a signal raises `Stopped` in the main thread, and an event loop
    # that ran there would lose it.
    with ThreadPoolExecutor(1, "trial") as thread:
        return thread.submit(_fault, configure).result()


def _fault(configure: Callable[[ASGIApp], uvicorn.Config]) -> str | None:
    faults: list[str] = []
    try:
        # The import fails if uvicorn has moved its connection, which is a fault like any other.
        from lockstep_service.connection.connection import Connection  # noqa: PLC0415

        class Tried(Connection):
            """A connection that reports its errors to the trial and not to the log."""

            def fail(self, error: BaseException | None) -> None:
                faults.append(f"{type(error).__name__}: {error}")
                self.transport.close()

        with _uvicorn_errors(faults), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Trial(Tried, configure(_through), faults).run())
    except TimeoutError:
        faults.append(f"an answer did not come within {LONGEST_S:g} s")
    except Exception as error:  # noqa: BLE001 - any error means that our connections cannot serve
        faults.append(f"{type(error).__name__}: {error}")
    return "; ".join(dict.fromkeys(faults)) or None


@contextmanager
def _uvicorn_errors(faults: list[str]) -> Iterator[None]:
    """Collect the errors that uvicorn logs; the service writes one line of its own."""
    logger = logging.getLogger("uvicorn.error")

    def keep(_: logging.LogRecord) -> bool:
        error = sys.exc_info()[1]
        while error is not None and (error.__cause__ or error.__context__):
            error = error.__cause__ or error.__context__
        if error is not None and not isinstance(error, httptools.HttpParserError):
            faults.append(f"{type(error).__name__}: {error}")
        return False

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


async def _through(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application: it gives every request the same answer."""
    del scope
    await read_body(receive)
    await send_answer(send, Answer(THROUGH, TEXT, status=202))


class _Trial:
    """Connections as uvicorn makes them, each with a client that tries it.

    Args:
        make: the class of the connections.
        config: of uvicorn, for the application.
        faults: takes the errors of the event loop.
    """

    def __init__(self, make: type[Connection], config: uvicorn.Config, faults: list[str]) -> None:
        config.load()
        self._faults = faults
        self._make = make
        self._config = config
        self._state = uvicorn.Server(config).server_state
        self._state.default_headers = [DATE]
        self._telemetry = _TrialTelemetry()
        self._ids = _Ids()
        shortcut = Shortcut(_CheckSum(), cast("Served", _Rowless()), None)
        self._shortcuts = Shortcuts(
            {PATH.encode(): shortcut}, self._ids, cast("Telemetry", self._telemetry)
        )

    async def run(self) -> None:
        """Try every part, each on a connection of its own.

        Raises:
            Fault: naming what the connection did not do.
            TimeoutError: if an answer did not come.
        """
        asyncio.get_running_loop().set_exception_handler(self._keep_error)
        async with asyncio.timeout(LONGEST_S):
            for part in (self._answers, self._drains, self._refuses, self._counts_client_left):
                await self._try(part)

    async def _try(self, part: Callable[[_Client, Connection], Awaitable[None]]) -> None:
        connection = self._make(
            self._shortcuts,
            config=self._config,
            server_state=self._state,
            app_state={},
            _loop=asyncio.get_running_loop(),
        )
        client_socket, server_socket = socket.socketpair()
        with client_socket:
            client_socket.setblocking(False)
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, server_socket
            )
            try:
                await part(_Client(client_socket), connection)
            finally:
                transport.abort()

    def _keep_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep an error of a callback, which the event loop would else log."""
        error = context.get("exception")
        self._faults.append(f"{type(error).__name__}: {error}" if error else context["message"])

    async def _answers(self, client: _Client, _: Connection) -> None:
        """Requests on one connection: by the shortcut, through ASGI, and by the shortcut again."""
        first, second = _request(b"0123456789"), _request(LARGE_BODY)
        await self._begin(client, first[:-5])
        await client.send(first[-5:])
        await client.expect(_answer(b"0123456789"))
        await client.send(second)
        await client.expect(_answer(LARGE_BODY))
        await client.send(b"GET / HTTP/1.1\r\nhost: trial\r\n\r\n")
        await client.expect(b"HTTP/1.1 202 ", THROUGH)
        await client.send(first + first)  # the second is pipelined, and goes through ASGI
        await client.expect(_answer(b"0123456789") + b"HTTP/1.1 202 ", THROUGH)

    async def _drains(self, client: _Client, connection: Connection) -> None:
        """A request in flight at shutdown is answered, then the connection is closed."""
        await self._begin(client, _request(b"drained")[:-3])
        connection.shutdown()
        await client.send(b"ned")
        await client.expect(_answer(b"drained", b"connection: close\r\n"))
        await client.expect_end()

    async def _refuses(self, client: _Client, _: Connection) -> None:
        """Bytes that are not HTTP get status 400, then the connection is closed."""
        await client.send(b"no HTTP\r\n\r\n")
        await client.expect(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n", b"}")
        await client.expect_end()

    async def _counts_client_left(self, client: _Client, _: Connection) -> None:
        """A client that leaves before its answer is counted."""
        await self._begin(client, _request(b"left")[:-1])
        client.leave()
        await self._until(self._telemetry.client_left, "a client that left was not noticed")

    async def _begin(self, client: _Client, part: bytes) -> None:
        """Send the first part of a request, and wait until it has taken the shortcut."""
        self._ids.given.clear()
        await client.send(part)
        await self._until(self._ids.given, "no request took the shortcut")

    @staticmethod
    async def _until(event: asyncio.Event, otherwise: str) -> None:
        for _ in range(MOST_TURNS):
            if event.is_set():
                return
            await asyncio.sleep(0)
        raise Fault(otherwise)


class _Client:
    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def expect(self, begin: bytes, end: bytes = b"") -> None:
        """Read an answer; raise `Fault` if it begins or ends differently."""
        got = b""
        while len(got) < len(begin) + len(end) or not got.endswith(end):
            part = await self._loop.sock_recv(self._socket, 65536)
            got += part
            if not part or not got.startswith(begin[: len(got)]):
                raise Fault(f"expected the answer {begin!r} … {end!r}, however: {got!r}")

    async def expect_end(self) -> None:
        if more := await self._loop.sock_recv(self._socket, 65536):
            raise Fault(f"expected the connection to be closed, however: {more!r}")

    def leave(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)


def _request(body: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nhost: trial\r\nx-request-id: trial\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _answer(body: bytes, last_header: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: text/plain\r\n"
        b"content-length: 8\r\nx-request-id: trial\r\n%b\r\n%08x" % (last_header, crc32(body))
    )


class _CheckSum(Endpoint[None]):
    """Answers a body with its checksum (CRC-32)."""

    def __init__(self) -> None:
        limits = RequestLimits(timeout_s=LONGEST_S, body_bytes=len(LARGE_BODY))
        super().__init__(PATH, cast("Repository", ()), limits)

    def prepare(self, served: Served) -> None:
        """Prepare nothing: the trial has no artifact."""

    def check(self, headers: Headers) -> None:
        """Accept all headers."""

    def question(self, prepared: None, headers: Headers, body: Body) -> Question:
        """A question without values, whose answer is the checksum of the body."""
        del prepared, headers
        answer = Answer(b"%08x" % crc32(body), TEXT)
        return Question(np.empty((1, 0), np.float32), LONGEST_S, lambda _: answer)


class _Rowless:
    """A version and its batcher: it gives empty outputs in the event loop's next iteration."""

    @property
    def batcher(self) -> _Rowless:
        return self

    def enqueue(self, features: Any, timeout_s: float, waiter: Waiter) -> None:
        del features, timeout_s
        asyncio.get_running_loop().call_soon(waiter.take, ())


class _Ids(RequestIds):
    """Request ids, with an event that is set when a shortcut gives one."""

    def __init__(self) -> None:
        super().__init__()
        self.given = asyncio.Event()

    def of(self, headers: Headers) -> bytes:
        self.given.set()
        return super().of(headers)


class _TrialTelemetry:
    """Telemetry that counts nothing; it sets an event when a client has left."""

    def __init__(self) -> None:
        self.client_left = asyncio.Event()

    def count(self, route: str, status: int) -> None:
        del route, status

    def observe(self, route: str, status: int, seconds: float) -> None:
        del route, seconds
        if status == CLIENT_LEFT:
            self.client_left.set()
