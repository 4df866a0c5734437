"""A connection: uvicorn's, which answers the common requests past ASGI."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lockstep_service.connection.exchange import Exchange
from lockstep_service.connection.head import check_head, check_trailers
from lockstep_service.connection.refusal import Deaf, Refusal
from lockstep_service.connection.shortcuts import Shortcuts
from lockstep_service.connection.transport import JoinedWrites
from lockstep_service.errors import BadRequest
from lockstep_service.view.log import log

# So much of a body is taken before the others have their turn: what a connection has to read is
# else read to its end, and the memory for it may take the system milliseconds a megabyte.
TURN_BYTES = 2**18
# So much of a body is dropped after its request was answered, until the connection is closed.
DROPPED_BYTES = 2**26
# The sizes of chunks and what else stands between them may take so much, and so many times the
# body: one byte a chunk takes six. A read, which may hold other requests too, is half of it.
FRAMING_BYTES, FRAMING_RATIO = 2**19, 16
# Stands for a request whose head is read once more, without the upgrade that it asks for.
UPGRADE: Any = object()


class Connection(HttpToolsProtocol):
    """Uvicorn's connection, with shortcuts, and answers in one write.

    A request takes the shortcut where its path has one and nothing about it is uncommon
    (`Shortcuts.find`); it is not pipelined, and the client reads what it is sent. All others are
    uvicorn's: they reach the ASGI application. What two parsers may read in two ways is refused,
    and nothing behind it is read.

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
        self._dropped_bytes = 0
        self._framing_left: int | None = None  # of a chunked body that is being read

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

    def data_received(self, data: bytes) -> None:
        """Read requests; where a proxy may have read others, refuse and read no more."""
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._decline(memoryview(data)[upgrade.args[0] :])
        except HttpParserError as error:
            self._refuse(error)
        if self._framing_left is not None:
            self._count_framing(self._framing_left - len(data))

    def _decline(self, rest: memoryview) -> None:
        """Decline upgrades: the parser stops at that word, and is given the head without it.

        The request is then one that never asked, and its body is found by the same parser.

        Args:
            rest: what was received behind the head.
        """
        while True:
            self.cycle = self._read
            lines = (b"%b: %b\r\n" % line for line in self.headers if line[0] != b"upgrade")
            stopped, self.parser = self.parser, HttpRequestParser(self)
            # As uvicorn's own: what follows a request that says "close" is dropped.
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            first = (stopped.get_method(), self.url, stopped.get_http_version().encode())
            try:
                self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (*first, b"".join(lines)))
                self.parser.feed_data(rest)
            except HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            except HttpParserError as error:
                self._refuse(error)
                return
            else:
                return

    def _count_framing(self, left: int) -> None:
        """Refuse chunks whose sizes, extensions and trailers outweigh the body by far."""
        self._framing_left = left
        if left < 0:
            self._refuse(
                BadRequest(
                    "Expected chunks of a body, got much more between them than in them; send "
                    "larger chunks without extensions."
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; what it means is asked when all are there."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the shortcut where there is one."""
        parser = self.parser
        if (
            self._is_idle()
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
        ):
            lines = self.headers
            headers = dict(lines)
            shortcut = self._shortcuts.find(self.url, headers)
            if shortcut is not None:
                if len(headers) != len(lines):
                    check_head(b"POST", self.url, "1.1", lines)
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
        self._begin_asgi()

    def _begin_asgi(self) -> None:
        parser = self.parser
        version = parser.get_http_version()
        check_head(parser.get_method(), self.url, version, self.headers)
        if parser.should_upgrade():
            self._read, self.cycle = self.cycle, UPGRADE
            return
        headers = dict(self.headers)
        # A client of HTTP/1.0 does not know the interim answer.
        expected = headers.get(b"expect", b"").lower() == b"100-continue"
        self.expect_100_continue = expected and version != "1.0"
        self._framing_left = FRAMING_BYTES if b"transfer-encoding" in headers else None
        self._dropped_bytes = 0
        super().on_headers_complete()
        self.headers = []  # what comes behind the body is none of its headers

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
            return
        if self._framing_left is not None:
            self._framing_left += (FRAMING_RATIO + 1) * len(body)
        if self.cycle.response_complete:
            self._dropped_bytes += len(body)
            if self._dropped_bytes > DROPPED_BYTES:
                self.transport.close()
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
        elif self.cycle is not UPGRADE:
            check_trailers(self.headers)
            self._framing_left = None
            super().on_message_complete()
            self.cycle.more_body = False  # uvicorn leaves it where the answer came first

    def on_response_complete(self) -> None:
        """Leave nothing held."""
        self._joined.flush()
        super().on_response_complete()

    def _refuse(self, error: Exception) -> None:
        """Answer what is no request when its turn comes, hang up, and read no more."""
        method = self.parser.get_method()
        self.parser = cast("HttpRequestParser", Deaf())
        self._framing_left = None
        if self.transport.is_closing():
            return
        reason = _reason(error, method)
        if not isinstance(reason, BadRequest):
            self.fail(reason)
            return
        telemetry = self._shortcuts.telemetry
        refusal = Refusal(reason, self._joined, self.loop, telemetry)
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and not cycle.more_body):
            refusal.send()
        elif not cycle.more_body:
            self.pipeline.appendleft((cast("Any", refusal), self.app))
        elif self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline[0] = (cast("Any", refusal), self.app)
        else:
            # An answer that needs no body is given first, as if the rest had come in a later read.
            self.loop.call_soon(self._break_off, refusal)

    def fail(self, error: BaseException | None) -> None:
        """Hang up over an error of our own, which the log has."""
        log.error("connection broke off", exc_info=error)
        self.transport.close()

    def _break_off(self, refusal: Refusal) -> None:
        """Answer in the place of a request whose body is broken; where it has one, hang up."""
        if self.transport.is_closing():
            return
        if self.cycle.response_started:
            self.transport.close()
            return
        self.cycle.disconnected = True
        refusal.send()
        self.cycle.message_event.set()


def _reason(error: Exception, method: bytes) -> BaseException | None:
    """Why the parser stopped: its own error, or that of what it called."""
    cause = error.__context__ if isinstance(error, HttpParserCallbackError) else error
    if not isinstance(cause, HttpParserError):
        return cause
    if method == b"PRI":
        return BadRequest("Expected HTTP/1.1, got the preface of HTTP/2; send HTTP/1.1.")
    return BadRequest(f"Expected an HTTP/1.1 request, got something else: {cause}.")
