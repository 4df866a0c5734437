"""An exchange: one request and its answer on a connection, past ASGI.

ASGI costs a small request more than its rows do: a task, a coroutine for each layer, a dictionary
for each message, a future for the rows. Where a request is of the common kind, the connection
hands its bytes to the dialect's own `check` and `question`, its rows to the batcher, and the answer
to the socket, each by a plain call. Errors, ids and metrics are those of the ASGI way, made by the
same functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from lockstep.engine.engine import Rows
from lockstep_service.connection.head import MISSPELT, is_host
from lockstep_service.dialects.endpoint import Endpoint, Question
from lockstep_service.http.headers import Headers, RequestIds
from lockstep_service.http.observed import CLIENT_LEFT
from lockstep_service.http.placement import is_long_to_read, is_long_to_write
from lockstep_service.http.problems import refusal
from lockstep_service.http.responses import Answer, Body
from lockstep_service.http.responses import Headers as Lines
from lockstep_service.repository.repository import Repository, Served
from lockstep_service.view.telemetry import Telemetry

DefaultHeaders = list[tuple[bytes, bytes]]

# What only the ASGI way does: to unpack a body, to read one of unknown length, to say "continue",
# to look at what is ambiguous.
UNCOMMON = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"} | MISSPELT)
MOST_HOSTS = 1000


class Shortcut(NamedTuple):
    """Where an exact path leads, and what its dialect prepared for the version there."""

    endpoint: Endpoint[Any]
    served: Served
    prepared: Any


class Heads:
    """The heads of answers up to the value of their content-length, each made once a second.

    Uvicorn makes its default headers anew every second, for the date that is one of them.
    """

    def __init__(self) -> None:
        self._default_headers: DefaultHeaders = []
        self._made: dict[tuple[int, tuple[bytes, bytes], Lines], bytes] = {}

    def of(self, answer: Answer, default_headers: DefaultHeaders) -> bytes:
        """The head of an answer."""
        if default_headers is not self._default_headers:
            self._default_headers = default_headers
            self._made.clear()
        _, kind, headers, status = answer
        head = self._made.get((status, kind, headers))
        if head is None:
            lines = (b"%b: %b\r\n" % line for line in (*default_headers, kind, *headers))
            first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
            head = b"%b%bcontent-length: " % (first, b"".join(lines))
            self._made[status, kind, headers] = head
        return head


@dataclass(frozen=True)
class Shortcuts:
    """What connections need to answer past ASGI.

    Attributes:
        paths: the shortcut of each exact path, as it stands in a request's first line.
        ids: gives requests their ids.
        telemetry: counts and times the answers.
        heads: of the answers.
        hosts: that requests have named; to look one up is faster than to read it.
    """

    paths: Mapping[bytes, Shortcut]
    ids: RequestIds
    telemetry: Telemetry
    heads: Heads = field(default_factory=Heads)
    hosts: set[bytes] = field(default_factory=set)

    def find(self, path: bytes, headers: Headers) -> Shortcut | None:
        """The shortcut for a request, or None where it has to take the ASGI way.

        A body whose size is not known goes that way as well, and so does a host that is none.
        """
        shortcut = self.paths.get(path)
        if shortcut is None or not UNCOMMON.isdisjoint(headers):
            return None
        host = headers.get(b"host")
        if host not in self.hosts and not self._meet(host):
            return None
        length = headers.get(b"content-length")
        try:
            fits = length is not None and int(length) <= shortcut.endpoint.limits.body_bytes
        except ValueError:  # thousands of digits
            return None
        return shortcut if fits else None

    def _meet(self, host: bytes | None) -> bool:
        if host is None or not is_host(host):
            return False
        if len(self.hosts) >= MOST_HOSTS:
            self.hosts.clear()
        self.hosts.add(host)
        return True


def shortcuts_to(
    endpoints: Iterable[Endpoint[Any]], repository: Repository
) -> dict[bytes, Shortcut]:
    """The shortcut of every exact path of a version that is served."""
    found: dict[bytes, Shortcut] = {}
    for endpoint in endpoints:
        asked = ("{name}" in endpoint.path, "{version}" in endpoint.path)
        for name, version, served in repository.addresses():
            if asked == (name is not None, version is not None):
                path = endpoint.path.format(name=name, version=version)
                found[path.encode()] = Shortcut(endpoint, served, endpoint.prepared[served])
    return found


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

    def take(self, result: Rows | Exception) -> None:
        """Answer with the rows, or with the reason why there are none."""
        if isinstance(result, Exception) or not is_long_to_write(result):
            self._send(self._answer(result))
            return
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(None, self._answer, result)
        writing.add_done_callback(lambda done: self._send(done.result()))

    def _answer(self, result: Rows | Exception) -> Answer:
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
