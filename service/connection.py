"""A connection: uvicorn's, which answers the common requests past ASGI."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.exchange import Exchange, Shortcuts
from service.problems import NO_HTTP, problem_body
from service.transport import JoinedWrites

# So much of a body is taken before the others have their turn: what a connection has to read is
# else read to its end, and the memory for it may take the system milliseconds a megabyte.
TURN_BYTES = 2**18


class Connection(HttpToolsProtocol):
    """Uvicorn's connection, with shortcuts, and answers in one write.

    A request takes the shortcut where its path has one and nothing about it is uncommon
    (`Shortcuts.find`); it is not pipelined, and the client reads what it is sent. All others are
    uvicorn's: they reach the ASGI application.

    Args:
        shortcuts: past ASGI.
        uvicorn: what uvicorn makes a connection of.
    """

    cycle: Any  # uvicorn's RequestResponseCycle, or an Exchange

    def __init__(self, shortcuts: Shortcuts, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._shortcuts = shortcuts
        self._exchange: Exchange | None = None
        self._unbroken_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Write through a transport that holds heads back."""
        self._socket = transport
        self._joined = JoinedWrites(transport)
        super().connection_made(self._joined)  # type: ignore[arg-type]  # it stands for one

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the rows of a client that has left leave the queue."""
        if self._exchange is not None and not self._exchange.response_complete:
            self._exchange.left()
        self._exchange = None
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Take the shortcut where there is one."""
        parser = self.parser
        if (
            self._is_idle()
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
        ):
            headers = dict(self.headers)
            shortcut = self._shortcuts.find(self.url, headers)
            if shortcut is not None:
                self.cycle = self._exchange = Exchange(
                    shortcut,
                    self._shortcuts,
                    headers,
                    self._socket,
                    keep_alive=parser.should_keep_alive(),
                    default_headers=self.server_state.default_headers,
                    on_response=self.on_response_complete,
                )
                return
        super().on_headers_complete()

    def _is_idle(self) -> bool:
        """Whether nothing is under way, neither a request nor an answer that is not yet read."""
        cycle = self.cycle
        return (cycle is None or cycle.response_complete) and not self.flow.write_paused

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        if isinstance(self.cycle, Exchange):
            self.cycle.receive(body)
            self._unbroken_bytes += len(body)
            if self._unbroken_bytes >= TURN_BYTES:
                self._pause()
        else:
            super().on_body(body)

    def _pause(self) -> None:
        """Read on in the loop's next turn."""
        self._unbroken_bytes = 0
        if not self.flow.read_paused:
            self.flow.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """Ask, where the request took the shortcut."""
        if isinstance(self.cycle, Exchange):
            self.cycle.ask(self.loop)
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Leave nothing held."""
        self._joined.flush()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no request, and hang up."""
        del msg
        request_id = uuid4().hex
        body = problem_body(NO_HTTP, request_id)
        head = (
            f"HTTP/1.1 {NO_HTTP.status} Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
            f"x-request-id: {request_id}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
