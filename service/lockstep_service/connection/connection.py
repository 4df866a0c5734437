"""The connection: uvicorn's own, with shortcuts that answer common requests without ASGI."""

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

# Bytes of a body that are read before other connections have their turn. Without this limit a
# connection reads all that has arrived, and the operating system may need milliseconds for each
# megabyte of memory.
TURN_BYTES = 2**18
# Bytes of a body that are dropped after its request was answered, before the connection is closed.
DROPPED_BYTES = 2**26
# The framing of a chunked body is its chunk sizes, extensions and trailers. It may take
# FRAMING_BYTES plus FRAMING_RATIO times the bytes of the body. Chunks of one byte take six times
# the body. A read may hold other requests too; one read is half of FRAMING_BYTES.
FRAMING_BYTES, FRAMING_RATIO = 2**19, 16
# The cycle of a request whose head is parsed again without its upgrade header.
UPGRADE: Any = object()


class Connection(HttpToolsProtocol):
    """Uvicorn's connection, with shortcuts, and with one write per answer.

    A request takes a shortcut if all of these hold:

    - its path has a shortcut, and its headers are common ones (`Shortcuts.find`);
    - it is not pipelined;
    - the client reads what it is sent.

    Uvicorn passes all other requests to the ASGI application. A request that two parsers may read
    differently is refused, and the bytes after it are not read.

    Args:
        shortcuts: which bypass ASGI.
        uvicorn: the keyword arguments with which uvicorn makes a connection.
    """

    cycle: Any  # uvicorn's RequestResponseCycle, or an Exchange

    def __init__(self, shortcuts: Shortcuts, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._shortcuts = shortcuts
        self._exchange: Exchange | None = None
        self._unbroken_bytes = 0
        self._dropped_bytes = 0
        # Bytes of framing that the current body may still take; None if it is not chunked.
        self._framing_left: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Write through a transport that joins the head of an answer with its body."""
        self._socket = transport
        self._joined = JoinedWrites(transport)
        super().connection_made(self._joined)  # type: ignore[arg-type]  # it has the same methods

    def connection_lost(self, exc: Exception | None) -> None:
        """Mark the exchange of a client that has left, so that its rows are dropped."""
        if self._exchange is not None and not self._exchange.response_complete:
            self._exchange.left()
        self._exchange = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read requests; refuse ambiguous bytes and read no further.

        A proxy in front may have found other requests in ambiguous bytes.
        """
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
        """Ignore an upgrade, as RFC 9110 (7.8) allows.

        The parser stops at a head that asks for an upgrade. A new parser gets the same head without
        the upgrade header. It then reads the body as that of any other request.

        Args:
            rest: the bytes received after the head.
        """
        while True:
            self.cycle = self._read
            lines = (b"%b: %b\r\n" % line for line in self.headers if line[0] != b"upgrade")
            stopped, self.parser = self.parser, HttpRequestParser(self)
            # As in uvicorn's parser: bytes after a request with "connection: close" are dropped.
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
        """Refuse a chunked body whose framing is much larger than its data.

        Args:
            left: bytes of framing that the body may still take; negative when it took too many.
        """
        self._framing_left = left
        if left < 0:
            self._refuse(
                BadRequest(
                    "Expected chunks of a body, got much more between them than in them; send "
                    "larger chunks without extensions."
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; it is interpreted when all have come."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take a shortcut if the request has one, else ASGI."""
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
        # HTTP/1.0 has no interim answers.
        expected = headers.get(b"expect", b"").lower() == b"100-continue"
        self.expect_100_continue = expected and version != "1.0"
        self._framing_left = FRAMING_BYTES if b"transfer-encoding" in headers else None
        self._dropped_bytes = 0
        super().on_headers_complete()
        self.headers = []  # collects the trailers from here on

    def _is_idle(self) -> bool:
        """Whether no request is in progress, and the client has read all answers."""
        cycle = self.cycle
        return (cycle is None or cycle.response_complete) and not self.flow.write_paused

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body."""
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
        """Stop reading until the next iteration of the event loop."""
        self._unbroken_bytes = 0
        if not self.flow.read_paused:
            self.flow.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """Start the run of a request that took a shortcut; leave others to uvicorn."""
        if isinstance(self.cycle, Exchange):
            self.cycle.ask(self.loop)
        elif self.cycle is not UPGRADE:
            check_trailers(self.headers)
            self._framing_left = None
            super().on_message_complete()
            self.cycle.more_body = False  # uvicorn does not reset it after an early answer

    def on_response_complete(self) -> None:
        """Write a head that is still held: the answer has no body."""
        self._joined.flush()
        super().on_response_complete()

    def _refuse(self, error: Exception) -> None:
        """Read no more, answer the earlier requests, send a refusal, and close the connection."""
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
            # The application may answer without the body. It gets the chance to do so first, as if
            # the broken bytes had come in a later read.
            self.loop.call_soon(self._break_off, refusal)

    def fail(self, error: BaseException | None) -> None:
        """Log an error of our own, and close the connection."""
        log.error("connection broke off", exc_info=error)
        self.transport.close()

    def _break_off(self, refusal: Refusal) -> None:
        """Refuse a request whose body is broken; if its answer has begun, only close."""
        if self.transport.is_closing():
            return
        if self.cycle.response_started:
            self.transport.close()
            return
        self.cycle.disconnected = True
        refusal.send()
        self.cycle.message_event.set()


def _reason(error: Exception, method: bytes) -> BaseException | None:
    """Why the parser stopped: its own error, or the error of a callback."""
    cause = error.__context__ if isinstance(error, HttpParserCallbackError) else error
    if not isinstance(cause, HttpParserError):
        return cause
    if method == b"PRI":
        return BadRequest("Expected HTTP/1.1, got the preface of HTTP/2; send HTTP/1.1.")
    return BadRequest(f"Expected an HTTP/1.1 request, got something else: {cause}.")
