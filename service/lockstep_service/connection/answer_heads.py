"""Heads of answers."""

from __future__ import annotations

from http import HTTPStatus

from lockstep_service.http.responses import Answer, HeaderLines

DefaultHeaders = list[tuple[bytes, bytes]]


class Heads:
    """Cached heads of answers, up to the value of their content-length.

    The cache is cleared when uvicorn replaces its list of default headers. Uvicorn does so every
    second, because the date is one of them.
    """

    def __init__(self) -> None:
        self._default_headers: DefaultHeaders = []
        self._made: dict[tuple[int, tuple[bytes, bytes], HeaderLines], bytes] = {}

    def of(self, answer: Answer, default_headers: DefaultHeaders) -> bytes:
        """The head of an answer, up to the value of its content-length.

        Args:
            answer: to which it belongs.
            default_headers: uvicorn's, the same list until it replaces them.
        """
        if default_headers is not self._default_headers:
            self._default_headers = default_headers
            self._made.clear()
        _, kind, headers, status = answer
        head = self._made.get((status, kind, headers))
        if head is None:
            lines = (b"%b: %b\r\n" % line for line in (*default_headers, kind, *headers))
            first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
            head = b"%b%bcontent-length: " % (first, b"".join(lines))
            self._made[status, kind, headers] = head
        return head
