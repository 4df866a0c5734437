"""Answers as plain ASGI messages, and bodies as bytes."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Receive, Send

# A bytearray if the body came in pieces; it is not copied to bytes.
Body = bytes | bytearray
HeaderLines = tuple[tuple[bytes, bytes], ...]

JSON = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """The answer to a request.

    Attributes:
        body: its bytes.
        kind: the content-type header.
        headers: the other headers, without the content-length, which is added on sending.
        status: of HTTP.
    """

    body: bytes
    kind: tuple[bytes, bytes] = JSON
    headers: HeaderLines = ()
    status: int = 200


async def read_body(receive: Receive) -> Body:
    """Receive the whole body of a request.

    Raises:
        ConnectionResetError: where the client left before it had sent the whole body.
    """
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        body: bytes = message.get("body", b"")
        return body
    # The buffer grows in place: joining a hundred megabytes at the end would block the event loop.
    grown = bytearray()
    while message["type"] == "http.request":
        grown += message.get("body", b"")
        if not message.get("more_body", False):
            return grown
        message = await receive()
    raise ConnectionResetError


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer as ASGI messages."""
    body, kind, headers, status = answer
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [kind, length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})
