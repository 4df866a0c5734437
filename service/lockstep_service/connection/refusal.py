"""A refusal: the last answer of a connection whose bytes are no request, given in its turn."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from lockstep_service.connection.transport import JoinedWrites
from lockstep_service.http.problems import problem_body, report
from lockstep_service.view.telemetry import Telemetry

LINGER_S = 2.0


class Deaf:
    """Stands for the parser of a connection that is to be closed: what comes is not read."""

    def feed_data(self, data: bytes) -> None:
        """Drop bytes."""


class Refusal:
    """Says why the bytes are no request, then hangs up.

    It can stand in uvicorn's line of requests, behind those whose answers are still to come: what
    is wrong is never answered before what was right.

    Args:
        error: why.
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
        """Answer, now that it is its turn; no application is asked."""
        del app
        self.send()

    def send(self) -> None:
        """Answer and hang up.

        What the client still sends is dropped for a moment: the system would else reset the
        connection, and the client lose the answer.
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
