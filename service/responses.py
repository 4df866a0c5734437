"""Answers as plain ASGI messages, and bodies as bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from starlette.types import Receive, Send

Headers = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        ConnectionResetError: where the client left before it had sent everything.
    """
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        body: bytes = message.get("body", b"")
        return body
    chunks = []
    while message["type"] == "http.request":
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()
    raise ConnectionResetError


def send_json(send: Send, body: bytes, status: int = 200, headers: Headers = ()) -> Awaitable[None]:
    """Send a JSON body that is bytes already."""
    return send_bytes(send, body, JSON, status, headers)


async def send_bytes(
    send: Send, body: bytes, kind: tuple[bytes, bytes], status: int = 200, headers: Headers = ()
) -> None:
    """Send a body of the kind that its content-type header tells."""
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [kind, length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})
