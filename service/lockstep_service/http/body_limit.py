"""The limit of a request's body."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockstep_service.errors import BodyTooLarge


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
