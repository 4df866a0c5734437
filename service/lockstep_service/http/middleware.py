"""What surrounds every route, as plain ASGI: the request's id and measure, and its body's limit."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstep_service.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from lockstep_service.http.problems import Problem, problem_body, problem_of
from lockstep_service.http.responses import Answer, send_answer
from lockstep_service.view.telemetry import Telemetry, log

Headers = Mapping[bytes, bytes]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
TIMEOUT_MS = re.compile(rb"0{0,9}[1-9][0-9]{0,8}")
CLIENT_LEFT = 499  # as a metric only; nobody reads that answer
DEADLINE_HEADER = b"x-request-timeout-ms"
# The last of them is what curl -d says of every body.
JSON_TYPES = re.compile(
    rb"((application|text)/([\w.+-]+\+)?json|application/x-www-form-urlencoded)?\s*(;.*)?",
    re.IGNORECASE,
)


@dataclass
class Gate:
    """Whether the service is stopping; readiness says so before the last request is answered."""

    stopping: bool = False


class RequestIds:
    """Gives a request its id: the client's own, or a new one."""

    def __init__(self) -> None:
        self._prefix = uuid4().hex[:20].encode()
        self._numbers = count()

    def of(self, headers: Headers) -> bytes:
        """The id of a request with these headers."""
        given = headers.get(b"x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return b"%b%012x" % (self._prefix, next(self._numbers))


class Observed:
    """Gives a request its id, answers what nobody caught, and counts and times the answer."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, ids: RequestIds) -> None:
        self._app = app
        self._telemetry = telemetry
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = perf_counter()
        headers = dict(scope["headers"])
        if b"expect" in headers:
            receive, send = _hanging_up_unless_asked(receive, send)
        request_id = self._ids.of(headers)
        scope["state"] = {"request_id": request_id, "headers": headers}
        status = 0

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            return send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ConnectionResetError:
            status = CLIENT_LEFT
        except Exception as error:  # noqa: BLE001 - the last line: no internals, no silence
            if not status:
                await send_answer(send_with_id, refusal(error, request_id))
            else:
                log.error("answer broke off", request_id=request_id.decode(), exc_info=error)
        finally:
            route = scope.get("route") or scope.get("endpoint")
            path = getattr(route, "path", "unmatched")
            self._telemetry.observe(path, status, perf_counter() - begin)


def _hanging_up_unless_asked(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Hang up after an answer that comes before the body was asked for.

    The client may send the body or not: whether what comes next is that body or a request, nobody
    can say.
    """
    asked = False

    async def receive_asked() -> Message:
        nonlocal asked
        asked = True
        return await receive()

    async def send_or_hang_up(message: Message) -> None:
        if message["type"] == "http.response.start" and not asked:
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return receive_asked, send_or_hang_up


def refusal(error: Exception, request_id: bytes) -> Answer:
    """The answer to an error, as one that can be sent."""
    problem = report(error, request_id)
    body = problem_body(problem, request_id.decode())
    return Answer(body, headers=problem.headers, status=problem.status)


def report(error: Exception, request_id: bytes) -> Problem:
    """The answer to an error; one that promises a reason in the log has it there."""
    problem = problem_of(error)
    if problem.status == 500:
        log.error("request failed", request_id=request_id.decode(), exc_info=error)
    return problem


class BodyLimit:
    """Stops a body at its limit: by its announced length, or while its bytes are received."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass one request on.

        Raises:
            BodyTooLarge: where the body is announced with more than the limit.
        """
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers = scope["state"]["headers"]
        length = headers.get(b"content-length")
        if length is None or b"transfer-encoding" in headers:
            receive = self._counted(receive)
        elif int(length) > self._limit_bytes:  # the HTTP parser holds a body to its length
            raise self._too_large(int(length))
        return self._app(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit_bytes:
                raise self._too_large(received)
            return message

        return receive_counted

    def _too_large(self, length_bytes: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"Expected a body of at most {self._limit_bytes} bytes, got {length_bytes} or "
            f"more; send fewer rows, or raise LOCKSTEP_BODY_LIMIT_BYTES."
        )


def check_json(headers: Headers) -> None:
    """Refuse a body that calls itself another thing than JSON; no word at all is taken for JSON.

    Raises:
        UnsupportedMediaType: where the type is another.
    """
    given = headers.get(b"content-type", b"")
    if given != b"application/json" and not JSON_TYPES.fullmatch(given):
        raise UnsupportedMediaType(
            f"Expected a body of type application/json, got {given.decode('latin-1')[:64]!r}; "
            f"send JSON."
        )


def timeout_s(headers: Headers, default_s: float) -> float:
    """The deadline that a request's header asks for, in seconds from now.

    Raises:
        BadRequest: where the header is no such number of milliseconds.
    """
    value = headers.get(DEADLINE_HEADER)
    if value is None:
        return default_s
    if not TIMEOUT_MS.fullmatch(value):
        raise BadRequest(
            "Expected X-Request-Timeout-Ms to be a whole number of milliseconds from 1 to "
            f"999999999, got {value.decode('latin-1')[:20]!r}."
        )
    return int(value) / 1e3
