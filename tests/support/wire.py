"""A connection without a socket: bytes go in as they are cut, answers come out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import h11
import uvicorn

from lockstep_service.app import Application
from lockstep_service.connection.connection import Connection
from lockstep_service.process.server import connections

PATIENCE_S = 10


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and knows when it is to be closed."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.paused = False
        self.ended = False

    def get_extra_info(self, name, default=None):
        del name
        return default

    def write(self, data):
        if not self.ended:
            self.written += data

    def writelines(self, parts):
        self.write(b"".join(parts))

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.ended = True

    def close(self):
        self.ended = True

    def is_closing(self):
        return self.ended

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


@dataclass(frozen=True)
class Answered:
    """What a connection gave back.

    Attributes:
        statuses: of the final answers, in their order.
        closed: whether the connection was ended.
        asked: the paths that reached the ASGI application.
        written: all bytes.
    """

    statuses: list[int]
    closed: bool
    asked: list[str]
    written: bytes


class Peer:
    """Opens connections to an application, all in one event loop; to be closed.

    Args:
        app: that answers; what reaches it through ASGI is noted.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._asked: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._config = uvicorn.Config(
            self._noting, interface="asgi3", lifespan="off", log_config=None, ws="none"
        )
        self._config.load()

    async def _noting(self, scope, receive, send):
        self._asked.append(scope["path"])
        await self._app(scope, receive, send)

    def send(self, *parts: bytes) -> Answered:
        """The answers to bytes that arrive in these parts."""
        return self._loop.run_until_complete(self._send(parts))

    async def _send(self, parts: Iterable[bytes]) -> Answered:
        self._asked.clear()
        connection = connections(self._app)(
            config=self._config,
            server_state=uvicorn.server.ServerState(),
            app_state={},
            _loop=self._loop,
        )
        wire = Wire()
        connection.connection_made(wire)
        for part in parts:
            await self._until(lambda: not wire.paused)
            if wire.ended:
                break
            connection.data_received(part)
            for _ in range(3):  # the application may begin
                await asyncio.sleep(0)
        await self._until(lambda: wire.ended or not _is_owing(connection))
        for _ in range(3):
            await asyncio.sleep(0)
        connection.connection_lost(ConnectionResetError())
        await asyncio.gather(*connection.tasks)
        return Answered(_statuses(wire.written), wire.ended, [*self._asked], wire.written)

    async def _until(self, holds) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - the loop's turns are what is waited for
                await asyncio.sleep(0)

    def close(self) -> None:
        """Close the event loop."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def _is_owing(connection: Connection) -> bool:
    """Whether an answer is still to come for a request that is all there."""
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return bool(connection.pipeline)
    return not cycle.more_body


def _statuses(written: bytes) -> list[int]:
    found = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = int(first.split()[1])
        if status >= 200:
            found.append(status)
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        length = int(headers.get(b"content-length", 0))
        assert len(rest) >= length
        written = rest[length:]
    return found


def requests_of_h11(data: bytes) -> int | None:
    """How many requests another parser sees, all answered; None where it refuses any."""
    other = h11.Connection(h11.SERVER)
    found = 0
    try:
        other.receive_data(data)
        while True:
            event = other.next_event()
            if isinstance(event, h11.Request):
                found += 1
            elif isinstance(event, h11.EndOfMessage):
                other.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                other.send(h11.EndOfMessage())
                if other.our_state is not h11.DONE or other.their_state is not h11.DONE:
                    return found
                other.start_next_cycle()
            elif event is h11.NEED_DATA or not isinstance(event, h11.Data):
                return found
    except h11.RemoteProtocolError:
        return None
