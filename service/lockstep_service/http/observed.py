"""Every request seen from outside: its id, its status, its time, and what nobody caught."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstep_service.http.headers import RequestIds
from lockstep_service.http.problems import refusal
from lockstep_service.http.responses import send_answer
from lockstep_service.view.log import log
from lockstep_service.view.telemetry import Telemetry

CLIENT_LEFT = 499  # as a metric only; nobody reads that answer


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
