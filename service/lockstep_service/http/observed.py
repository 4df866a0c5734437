"""The outermost middleware: request ids, metrics, and answers to uncaught errors."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstep_service.http.headers import RequestIds
from lockstep_service.http.problems import refusal
from lockstep_service.http.responses import send_answer
from lockstep_service.view.log import log
from lockstep_service.view.telemetry import Telemetry

CLIENT_LEFT = 499  # a status of the metrics only; no such answer is sent


class Observed:
    """Gives each request an id, answers uncaught errors, and counts and times the answers.

    Args:
        app: the ASGI application that it wraps.
        telemetry: counts and times the answers.
        ids: of requests.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, ids: RequestIds) -> None:
        self._app = app
        self._telemetry = telemetry
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = perf_counter()
        headers = dict(scope["headers"])
        if b"expect" in headers:
            receive, send = _closing_unless_body_read(receive, send)
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
        except Exception as error:  # noqa: BLE001 - every error becomes an answer or a log line
            if not status:
                await send_answer(send_with_id, refusal(error, request_id))
            else:
                log.error("answer broke off", request_id=request_id.decode(), exc_info=error)
        finally:
            route = scope.get("route") or scope.get("endpoint")
            path = getattr(route, "path", "unmatched")
            self._telemetry.observe(path, status, perf_counter() - begin)


def _closing_unless_body_read(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Close the connection after an answer that is sent before the body was read.

    A client that sent "Expect: 100-continue" may then send the body or omit it. The service could
    not tell whether the next bytes are that body or another request.
    """
    body_read = False

    async def receive_body() -> Message:
        nonlocal body_read
        body_read = True
        return await receive()

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start" and not body_read:
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return receive_body, send_and_close
