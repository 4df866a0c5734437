"""The trial: before any client comes, a connection answers requests down pairs of sockets.

`connection.connection` stands on what uvicorn's own connection holds and calls, which uvicorn does
not publish. Whether that is still what it was, the classes that will serve show here by themselves:
with a small endpoint past ASGI, and a small application behind it. It takes about 3 ms.
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
from lockstep_service.dialects.endpoint import Endpoint, Limits, Question
from lockstep_service.http.headers import Headers, RequestIds
from lockstep_service.http.observed import CLIENT_LEFT
from lockstep_service.http.responses import Answer, Body, read_body, send_answer
from lockstep_service.repository.repository import Repository
from lockstep_service.repository.served import Served
from lockstep_service.view.telemetry import Telemetry

if TYPE_CHECKING:
    from lockstep_service.connection.connection import Connection

# The versions that the tests have seen.
TESTED = "uvicorn>=0.34,<0.55"
LONGEST_S = 5.0  # nothing waits for as long, unless an answer does not come at all
PATH = "/trial"
TEXT = (b"content-type", b"text/plain")
DATE = (b"date", b"today")
THROUGH = b"through ASGI"
# More than a connection reads in a turn of the event loop.
LARGE_BODY = bytes(range(256)) * 1100
MOST_TURNS = 100  # of the event loop, until what was sent has been read: one or two are enough


class Fault(Exception):
    """The connection did not do what it should; its text says what."""


def fault_of(configure: Callable[[ASGIApp], uvicorn.Config]) -> str | None:
    """What is wrong with our connections on the uvicorn that is installed; None for nothing.

    Args:
        configure: uvicorn's configuration for an application, as it will serve.
    """
    # In a thread: a signal that comes meanwhile raises `Stopped` in the main thread, and in an
    # event loop that runs there it would be lost.
    with ThreadPoolExecutor(1, "trial") as thread:
        return thread.submit(_fault, configure).result()


def _fault(configure: Callable[[ASGIApp], uvicorn.Config]) -> str | None:
    said: list[str] = []
    try:
        # A uvicorn that has moved its own connection elsewhere is a fault like any other.
        from lockstep_service.connection.connection import Connection  # noqa: PLC0415

        class Tried(Connection):
            """Tells the trial what it would tell the log."""

            def fail(self, error: BaseException | None) -> None:
                said.append(f"{type(error).__name__}: {error}")
                self.transport.close()

        with _heard(said), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Trial(Tried, configure(_through), said).run())
    except TimeoutError:
        said.append(f"an answer did not come within {LONGEST_S:g} s")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told and not served with
        said.append(f"{type(error).__name__}: {error}")
    return "; ".join(dict.fromkeys(said)) or None


@contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Keep what uvicorn says of a fault: the one line in the log is the service's."""
    logger = logging.getLogger("uvicorn.error")

    def keep(_: logging.LogRecord) -> bool:
        error = sys.exc_info()[1]
        while error is not None and (error.__cause__ or error.__context__):
            error = error.__cause__ or error.__context__
        if error is not None and not isinstance(error, httptools.HttpParserError):
            said.append(f"{type(error).__name__}: {error}")
        return False

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


async def _through(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind the shortcuts: it answers everything with the same words."""
    del scope
    await read_body(receive)
    await send_answer(send, Answer(THROUGH, TEXT, status=202))


class _Trial:
    """Connections as uvicorn makes them, and the clients that try them."""

    def __init__(self, make: type[Connection], config: uvicorn.Config, said: list[str]) -> None:
        config.load()
        self._said = said
        self._make = make
        self._config = config
        self._state = uvicorn.Server(config).server_state
        self._state.default_headers = [DATE]
        self._counted = _Counted()
        self._ids = _Ids()
        shortcut = Shortcut(_Sum(), cast("Served", _Rowless()), None)
        self._shortcuts = Shortcuts(
            {PATH.encode(): shortcut}, self._ids, cast("Telemetry", self._counted)
        )

    async def run(self) -> None:
        """Try everything.

        Raises:
            Fault: what was not done.
            TimeoutError: an answer did not come.
        """
        asyncio.get_running_loop().set_exception_handler(self._hear)
        async with asyncio.timeout(LONGEST_S):
            for part in (self._answers, self._drains, self._refuses, self._counts_who_leaves):
                await self._try(part)

    async def _try(self, part: Callable[[_Client, Connection], Awaitable[None]]) -> None:
        connection = self._make(
            self._shortcuts,
            config=self._config,
            server_state=self._state,
            app_state={},
            _loop=asyncio.get_running_loop(),
        )
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, theirs
            )
            try:
                await part(_Client(ours), connection)
            finally:
                transport.abort()

    def _hear(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what the loop would log: what was raised where nobody could catch it."""
        error = context.get("exception")
        self._said.append(f"{type(error).__name__}: {error}" if error else context["message"])

    async def _answers(self, client: _Client, _: Connection) -> None:
        """Past ASGI, through it, and past it again, down one connection."""
        first, second = _request(b"0123456789"), _request(LARGE_BODY)
        await self._begin(client, first[:-5])
        await client.send(first[-5:])
        await client.expect(_answer(b"0123456789"))
        await client.send(second)
        await client.expect(_answer(LARGE_BODY))
        await client.send(b"GET / HTTP/1.1\r\nhost: trial\r\n\r\n")
        await client.expect(b"HTTP/1.1 202 ", THROUGH)
        await client.send(first + first)  # the second one finds the connection busy
        await client.expect(_answer(b"0123456789") + b"HTTP/1.1 202 ", THROUGH)

    async def _drains(self, client: _Client, connection: Connection) -> None:
        """What is in flight when the server stops is answered, and is the last."""
        await self._begin(client, _request(b"drained")[:-3])
        connection.shutdown()
        await client.send(b"ned")
        await client.expect(_answer(b"drained", b"connection: close\r\n"))
        await client.expect_end()

    async def _refuses(self, client: _Client, _: Connection) -> None:
        await client.send(b"no HTTP\r\n\r\n")
        await client.expect(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n", b"}")
        await client.expect_end()

    async def _counts_who_leaves(self, client: _Client, _: Connection) -> None:
        await self._begin(client, _request(b"left")[:-1])
        client.leave()
        await self._until(self._counted.left, "a client that left was not noticed")

    async def _begin(self, client: _Client, part: bytes) -> None:
        """Send the head of a request, and have it taken by a shortcut before the rest comes."""
        self._ids.asked.clear()
        await client.send(part)
        await self._until(self._ids.asked, "no request took the shortcut")

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
        """Read an answer that begins so, and then ends so."""
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


class _Sum(Endpoint[None]):
    """Answers a body with its check sum."""

    def __init__(self) -> None:
        limits = Limits(timeout_s=LONGEST_S, body_bytes=len(LARGE_BODY))
        super().__init__(PATH, cast("Repository", ()), limits)

    def prepare(self, served: Served) -> None:
        """Nothing: there is no version."""

    def check(self, headers: Headers) -> None:
        """Take everything."""

    def question(self, prepared: None, headers: Headers, body: Body) -> Question:
        """Ask for nothing but the answer."""
        del prepared, headers
        answer = Answer(b"%08x" % crc32(body), TEXT)
        return Question(np.empty((1, 0), np.float32), LONGEST_S, lambda _: answer)


class _Rowless:
    """A version that answers every question in the loop's next turn, without rows."""

    @property
    def batcher(self) -> _Rowless:
        return self

    def enqueue(self, features: Any, timeout_s: float, waiter: Waiter) -> None:
        del features, timeout_s
        asyncio.get_running_loop().call_soon(waiter.take, ())


class _Ids(RequestIds):
    """Tells when a shortcut is taken: its request is then given an id."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    def of(self, headers: Headers) -> bytes:
        self.asked.set()
        return super().of(headers)


class _Counted:
    """Counts nothing, but hears of a client that left."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    def count(self, route: str, status: int) -> None:
        del route, status

    def observe(self, route: str, status: int, seconds: float) -> None:
        del route, seconds
        if status == CLIENT_LEFT:
            self.left.set()
