"""The body limit: middleware that stops a request's body at its limit."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstep_service.errors import BodyTooLarge


class BodyLimit:
    """Refuses a body above the limit, by its content-length or while its bytes are received.

    Args:
        app: the ASGI application that it wraps.
        limit_bytes: the largest body.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on one request.

        Raises:
            BodyTooLarge: where the content-length is above the limit. A body of unknown length
                raises it while it is received.
        """
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers = scope["state"]["headers"]
        length = headers.get(b"content-length")
        if length is None or b"transfer-encoding" in headers:
            receive = self._counted(receive)
        elif int(length) > self._limit_bytes:  # the HTTP parser checks the body against its length
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
