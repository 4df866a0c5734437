"""What surrounds every route, as plain ASGI: the request's id and measure, and its body's limit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import perf_counter
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from service.problems import problem_body, problem_of
from service.responses import send_json
from service.telemetry import Telemetry, log

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
TIMEOUT_MS = re.compile(rb"0{0,9}[1-9][0-9]{0,8}")
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


class Observed:
    """Gives a request its id, answers what nobody caught, and counts and times the answer."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ConnectionResetError:
            status = 499  # the client left; nobody reads an answer
        except Exception as error:  # noqa: BLE001 - the last line: no internals, no silence
            log.error("request failed", request_id=request_id.decode(), exc_info=error)
            if not status:
                problem = problem_of(error)
                body = problem_body(problem, request_id.decode())
                await send_json(send_with_id, body, problem.status, problem.headers)
        finally:
            matched = scope.get("route") or scope.get("endpoint")
            route = getattr(matched, "path", "unmatched")
            self._telemetry.requests.labels(route, status).inc()
            self._telemetry.seconds.labels(route).observe(perf_counter() - begin)


class BodyLimit:
    """Counts a body's bytes while they are received, and stops at the limit."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            self._check(_content_length(scope))
            message = await receive()
            received += len(message.get("body", b""))
            self._check(received)
            return message

        await self._app(scope, receive_counted, send)

    def _check(self, length_bytes: int) -> None:
        if length_bytes > self._limit_bytes:
            raise BodyTooLarge(
                f"Expected a body of at most {self._limit_bytes} bytes, got {length_bytes} or "
                f"more; send fewer rows, or raise LOCKSTEP_BODY_LIMIT_BYTES."
            )


def _request_id(scope: Scope) -> bytes:
    """The caller's id where it is a plain one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            given: bytes = value
            return given
    return uuid4().hex.encode()


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def check_json(scope: Scope) -> None:
    """Refuse a body that calls itself another thing than JSON; no word at all is taken for JSON.

    Raises:
        UnsupportedMediaType: where the type is another, or the body is compressed.
    """
    for name, value in scope["headers"]:
        if name == b"content-type" and not JSON_TYPES.fullmatch(value):
            given = value.decode("latin-1")[:64]
            raise UnsupportedMediaType(
                f"Expected a body of type application/json, got {given!r}; send JSON."
            )
        if name == b"content-encoding" and value.lower() != b"identity":
            given = value.decode("latin-1")[:20]
            raise UnsupportedMediaType(
                f"Expected a body that is not compressed, got {given!r}; send it as it is."
            )


def timeout_s(scope: Scope, default_s: float) -> float:
    """The deadline that a request's header asks for, in seconds from now.

    Raises:
        BadRequest: where the header is no such number of milliseconds.
    """
    for name, value in scope["headers"]:
        if name == DEADLINE_HEADER:
            if not TIMEOUT_MS.fullmatch(value):
                raise BadRequest(
                    "Expected X-Request-Timeout-Ms to be a whole number of milliseconds from 1 to "
                    f"999999999, got {value.decode('latin-1')[:20]!r}."
                )
            return int(value) / 1e3
    return default_s
