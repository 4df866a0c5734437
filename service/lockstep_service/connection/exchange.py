"""An exchange: one request and its answer on a connection, without ASGI.

ASGI costs a small request more than the run of its rows: a task, a coroutine for each layer, a
dictionary for each message, and a future for the rows. For a common request the connection calls
plain functions instead: the dialect's `check` and `question` read the request, the batcher runs its
rows, and the answer is written to the socket. The same functions as on the ASGI path make errors,
ids and metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from lockstep.engine.engine import Outputs
from lockstep_service.connection.answer_heads import DefaultHeaders
from lockstep_service.connection.shortcuts import Shortcut, Shortcuts
from lockstep_service.dialects.endpoint import Question
from lockstep_service.http.headers import Headers
from lockstep_service.http.observed import CLIENT_LEFT
from lockstep_service.http.placement import READ_IN_LOOP_BYTES, is_long_to_write
from lockstep_service.http.problems import refusal
from lockstep_service.http.responses import Answer, Body


class _NoEvent:
    """In place of uvicorn's event of new messages: no coroutine waits for it here."""

    def set(self) -> None:
        """Do nothing."""


class Exchange:
    """One request, from the end of its head to the last byte of its answer.

    Uvicorn's connection keeps it in place of a RequestResponseCycle, so it has the attributes of
    one that the connection reads. It is a `batching.queued.Waiter` for its rows.

    Args:
        shortcut: of the request's path.
        shortcuts: ids and metrics.
        headers: of the request, by their lower-case names; the body's length is among them.
        transport: of the connection.
        keep_alive: whether the connection stays open after the answer.
        default_headers: uvicorn's, on every answer.
        on_response: called when the answer is complete.
    """

    __slots__ = (
        "_begin",
        "_body",
        "_default_headers",
        "_headers",
        "_length",
        "_on_response",
        "_request_id",
        "_shortcut",
        "_shortcuts",
        "_transport",
        "_write",
        "disconnected",
        "keep_alive",
        "response_complete",
    )

    message_event = _NoEvent()
    more_body = False  # the length is known, so broken bytes after the head are not its body

    def __init__(
        self,
        shortcut: Shortcut,
        shortcuts: Shortcuts,
        headers: Headers,
        transport: asyncio.Transport,
        *,
        keep_alive: bool,
        default_headers: DefaultHeaders,
        on_response: Callable[[], None],
    ) -> None:
        self._begin = perf_counter()
        self._shortcut = shortcut
        self._shortcuts = shortcuts
        self._headers = headers
        self._transport = transport
        self._default_headers = default_headers
        self._on_response = on_response
        self._request_id = shortcuts.ids.of(headers)
        self.keep_alive = keep_alive
        self._length = int(headers[b"content-length"])
        self._body: Body = b""
        self.disconnected = False
        self.response_complete = False

    def receive(self, part: bytes) -> None:
        """Take a part of the body; the parser holds their sum to the content-length."""
        if len(part) == self._length:
            self._body = part
            return
        # The buffer grows in place: allocating a hundred megabytes at once would block the event
        # loop.
        if not self._body:
            self._body = bytearray()
        self._body += part

    def ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read the request, whose body is complete, and queue its rows.

        Args:
            loop: the event loop. A long body is read in a thread of its default executor.
        """
        if self._length < READ_IN_LOOP_BYTES:  # a compressed body takes no shortcut
            self._enqueue(self._read)
            return
        reading = loop.run_in_executor(None, self._read)
        reading.add_done_callback(lambda done: self._enqueue(done.result))

    def _read(self) -> Question:
        endpoint, _, prepared = self._shortcut
        endpoint.check(self._headers)
        question = endpoint.question(prepared, self._headers, self._body)
        self._body = b""  # the features hold the bytes that they need
        return question

    def _enqueue(self, read: Callable[[], Question]) -> None:
        try:
            features, timeout_s, self._write = read()
            self._shortcut.served.batcher.enqueue(features, timeout_s, self)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            self._body = b""
            self._send(refusal(error, self._request_id))
            # The error, its traceback and the thread's future form a reference cycle that keeps
            # the body alive. The garbage collector would free it late.
            error.__traceback__ = None

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self.disconnected

    def take(self, result: Outputs | Exception) -> None:
        """Answer with the outputs, or with the error.

        Args:
            result: of a judged run, or the request's error. A long answer is written in a thread.
        """
        if isinstance(result, Exception) or not is_long_to_write(result):
            self._send(self._answer(result))
            return
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(None, self._answer, result)
        writing.add_done_callback(lambda done: self._send(done.result()))

    def _answer(self, result: Outputs | Exception) -> Answer:
        if isinstance(result, Exception):
            return refusal(result, self._request_id)
        try:
            return self._write(result)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            return refusal(error, self._request_id)

    def left(self) -> None:
        """Count a request whose client left before its answer, and free its body."""
        self.disconnected = True
        self._body = b""
        self._observe(CLIENT_LEFT)

    def _send(self, answer: Answer) -> None:
        if self.disconnected:
            return
        self._transport.write(
            b"%b%d\r\nx-request-id: %b\r\n%b\r\n%b"
            % (
                self._shortcuts.heads.of(answer, self._default_headers),
                len(answer.body),
                self._request_id,
                b"" if self.keep_alive else b"connection: close\r\n",
                answer.body,
            )
        )
        self.response_complete = True
        if not self.keep_alive:
            self._transport.close()
        self._observe(answer.status)
        self._on_response()

    def _observe(self, status: int) -> None:
        path = self._shortcut.endpoint.path
        self._shortcuts.telemetry.observe(path, status, perf_counter() - self._begin)
