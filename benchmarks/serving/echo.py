"""The ceiling: a bare ASGI application that reads the body and answers ``POST /N`` with N bytes."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def answer(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two messages that answer a path; made once for each."""
    body = b"x" * int(path[1:])
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer one request."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    start, body = answer(scope["path"])
    await send(start)
    await send(body)
