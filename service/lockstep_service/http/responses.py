"""Answers as plain ASGI messages, and bodies as bytes."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Receive, Send

# One that came in pieces has grown in place, and is not copied once more.
Body = bytes | bytearray
HeaderLines = tuple[tuple[bytes, bytes], ...]

JSON = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """What a request is answered with.

    Attributes:
        body: its bytes.
        kind: the content-type header.
        headers: the others; the body's length is written where it is sent.
        status: of HTTP.
    """

    body: bytes
    kind: tuple[bytes, bytes] = JSON
    headers: HeaderLines = ()
    status: int = 200


async def read_body(receive: Receive) -> Body:
    """The whole body of a request.

    Raises:
        ConnectionResetError: where the client left before it had sent everything.
    """
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        body: bytes = message.get("body", b"")
        return body
    # It grows in place: to join a hundred megabytes at the end would stop everybody for long.
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
