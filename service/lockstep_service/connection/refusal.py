"""A refusal: the last answer on a connection whose bytes are not a valid request."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from lockstep_service.connection.transport import JoinedWrites
from lockstep_service.http.problems import problem_body, report
from lockstep_service.view.telemetry import Telemetry

LINGER_S = 2.0  # from the refusal to the close of the connection


class Deaf:
    """In place of the parser of a connection that is about to close: it ignores all bytes."""

    def feed_data(self, data: bytes) -> None:
        """Drop bytes."""


class Refusal:
    """Answers bytes that are not a valid request, then closes the connection.

    It can wait in uvicorn's pipeline of requests, behind those that are not yet answered. So the
    requests before the invalid bytes are answered first.

    Args:
        error: the reason, from which the answer is made.
        transport: of the connection.
        loop: of the connection.
        telemetry: counts the answer.
    """

    def __init__(
        self,
        error: Exception,
        transport: JoinedWrites,
        loop: asyncio.AbstractEventLoop,
        telemetry: Telemetry,
    ) -> None:
        self._error = error
        self._transport = transport
        self._loop = loop
        self._telemetry = telemetry

    async def run_asgi(self, app: object) -> None:
        """Answer; uvicorn calls this when the earlier requests in the pipeline are answered."""
        del app
        self.send()

    def send(self) -> None:
        """Answer, and close the connection after ``LINGER_S``.

        Until then the client's bytes are read and dropped. If unread bytes remained, the operating
        system would reset the connection, and the client would lose the answer.
        """
        request_id = uuid4().hex
        problem = report(self._error, request_id.encode())
        body = problem_body(problem, request_id)
        head = (
            f"HTTP/1.1 {problem.status} Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
            f"x-request-id: {request_id}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        self._telemetry.count("unmatched", problem.status)
        if self._transport.can_write_eof():
            self._transport.resume_reading()
            self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._transport.close)
        else:
            self._transport.close()
