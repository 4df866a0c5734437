"""What a request's headers say, and its id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from uuid import uuid4

from lockstep_service.errors import BadRequest, UnsupportedMediaType

Headers = Mapping[bytes, bytes]


REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")


TIMEOUT_MS = re.compile(rb"0{0,9}[1-9][0-9]{0,8}")


DEADLINE_HEADER = b"x-request-timeout-ms"


# The last of them is what curl -d says of every body.
JSON_TYPES = re.compile(
    rb"((application|text)/([\w.+-]+\+)?json|application/x-www-form-urlencoded)?\s*(;.*)?",
    re.IGNORECASE,
)


class RequestIds:
    """Gives a request its id: the client's own, or a new one."""

    def __init__(self) -> None:
        self._prefix = uuid4().hex[:20].encode()
        self._numbers = count()

    def of(self, headers: Headers) -> bytes:
        """The id of a request with these headers."""
        given = headers.get(b"x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return b"%b%012x" % (self._prefix, next(self._numbers))


def check_json(headers: Headers) -> None:
    """Refuse a body that calls itself another thing than JSON; no word at all is taken for JSON.

    Raises:
        UnsupportedMediaType: where the type is another.
    """
    given = headers.get(b"content-type", b"")
    if given != b"application/json" and not JSON_TYPES.fullmatch(given):
        raise UnsupportedMediaType(
            f"Expected a body of type application/json, got {given.decode('latin-1')[:64]!r}; "
            f"send JSON."
        )


def timeout_s(headers: Headers, default_s: float) -> float:
    """The deadline that a request's header asks for, in seconds from now.

    Raises:
        BadRequest: where the header is no such number of milliseconds.
    """
    value = headers.get(DEADLINE_HEADER)
    if value is None:
        return default_s
    if not TIMEOUT_MS.fullmatch(value):
        raise BadRequest(
            "Expected X-Request-Timeout-Ms to be a whole number of milliseconds from 1 to "
            f"999999999, got {value.decode('latin-1')[:20]!r}."
        )
    return int(value) / 1e3
