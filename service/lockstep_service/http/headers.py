"""Request headers: content type, deadline and request id."""

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
# curl -d sends the last of them with every body.
JSON_TYPES = re.compile(
    rb"((application|text)/([\w.+-]+\+)?json|application/x-www-form-urlencoded)?\s*(;.*)?",
    re.IGNORECASE,
)


class RequestIds:
    """Gives each request an id: the client's ``X-Request-Id``, or a new one."""

    def __init__(self) -> None:
        self._prefix = uuid4().hex[:20].encode()
        self._numbers = count()

    def of(self, headers: Headers) -> bytes:
        """The id of a request with these headers; a new one if the client's is not valid."""
        given = headers.get(b"x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return b"%b%012x" % (self._prefix, next(self._numbers))


def check_json(headers: Headers) -> None:
    """Refuse a body whose content type is not JSON; without a content type it is JSON.

    Raises:
        UnsupportedMediaType: for another content type.
    """
    given = headers.get(b"content-type", b"")
    if given != b"application/json" and not JSON_TYPES.fullmatch(given):
        raise UnsupportedMediaType(
            f"Expected a body of type application/json, got {given.decode('latin-1')[:64]!r}; "
            f"send JSON."
        )


def timeout_s(headers: Headers, default_s: float) -> float:
    """The deadline of a request, in seconds from now.

    Args:
        headers: by their lower-case names. ``X-Request-Timeout-Ms`` holds milliseconds.
        default_s: the deadline of a request without that header, in seconds.

    Raises:
        BadRequest: where the header is not a whole number from 1 to 999999999.
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
