"""An exchange: one request and its answer on a connection, past ASGI.

ASGI costs a small request more than its rows do: a task, a coroutine for each layer, a dictionary
for each message, a future for the rows. Where a request is of the common kind, the connection
hands its bytes to the dialect's own `check` and `question`, its rows to the batcher, and the answer
to the socket, each by a plain call. Errors, ids and metrics are those of the ASGI way, made by the
same functions.
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
from lockstep_service.http.placement import is_long_to_read, is_long_to_write
from lockstep_service.http.problems import refusal
from lockstep_service.http.responses import Answer, Body


class _Unheard:
    """Stands for the event that a coroutine would wait for: here nobody waits."""

    def set(self) -> None:
        """Tell nobody."""


class Exchange:
    """One request, from the end of its head to the last byte of its answer.

    It stands where uvicorn's connection keeps its RequestResponseCycle, and has of it what the
    connection asks for; it waits for its rows as a `batching.batcher.Waiter`.

    Args:
        shortcut: where the request leads.
        shortcuts: ids and metrics.
        headers: of the request, by their lower-case names; the body's length is among them.
        transport: of the connection.
        keep_alive: whether the connection outlives the answer.
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

    message_event = _Unheard()
    more_body = False  # of a known length: what is wrong behind its head is no body of it

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
        """Take a part of the body; all parts together are as long as was announced."""
        if len(part) == self._length:
            self._body = part
            return
        # It grows in place: to make room for a hundred megabytes at once would stop everybody.
        if not self._body:
            self._body = bytearray()
        self._body += part

    def ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read the body, which is whole, and ask the engine for its rows."""
        if not is_long_to_read(self._length, self._headers):
            self._enqueue(self._read)
            return
        reading = loop.run_in_executor(None, self._read)
        reading.add_done_callback(lambda done: self._enqueue(done.result))

    def _read(self) -> Question:
        endpoint, _, prepared = self._shortcut
        endpoint.check(self._headers)
        question = endpoint.question(prepared, self._headers, self._body)
        self._body = b""  # what the features need of it they hold themselves
        return question

    def _enqueue(self, read: Callable[[], Question]) -> None:
        try:
            features, timeout_s, self._write = read()
            self._shortcut.served.batcher.enqueue(features, timeout_s, self)
        except Exception as error:  # noqa: BLE001 - the last line: no internals, no silence
            self._body = b""
            self._send(refusal(error, self._request_id))
            # A body that was read in a thread hangs in a cycle of the error, its traceback and
            # the thread's future, which the garbage collector would find late.
            error.__traceback__ = None

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self.disconnected

    def take(self, result: Outputs | Exception) -> None:
        """Answer with the rows, or with the reason why there are none."""
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
        except Exception as error:  # noqa: BLE001 - the last line: no internals, no silence
            return refusal(error, self._request_id)

    def left(self) -> None:
        """Count a request whose client left before it was answered, and let go of its body."""
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
