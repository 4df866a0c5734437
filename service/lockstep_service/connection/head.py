"""Checks of a request's head: a request that two parsers may read differently is refused.

A client can smuggle a request past a proxy's rules if the proxy and the server read the same bytes
differently. The parser refuses bytes that are not HTTP. The checks here refuse heads that this
version of the parser, or another one, accepts, but that RFC 9112 forbids or leaves to the server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lockstep_service.errors import BadRequest

Lines = Sequence[tuple[bytes, bytes]]

VERSIONS = ("1.1", "1.0")
ONCE = (b"host", b"content-length", b"transfer-encoding")
# CGI and its successors read these as the names with dashes.
MISSPELT = frozenset({b"content_length", b"transfer_encoding"})
# Headers that decide where a message ends, where it goes and how it is read. After the body they
# come too late.
NEVER_IN_TRAILERS = frozenset(
    {*ONCE, *MISSPELT, b"connection", b"content-encoding", b"content-type", b"expect", b"te"}
    | {b"trailer", b"upgrade", b"authorization"}
)
# Of a content-length. Python's int() refuses numbers of thousands of digits.
MOST_DIGITS = 19
# RFC 3986 allows a comma in a name. Here it is refused: a proxy may join two Host lines by a comma.
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+(%[\w.~%-]+)?\]|[\w.~!$&'()*+;=%-]+)(:[0-9]{0,5})?", re.ASCII)
LONGEST_HOST = 300  # bytes; a name has at most 255
TARGET = re.compile(rb"[!\"$-~]+")  # visible ASCII without "#"
ABSOLUTE = re.compile(rb"https?://([^/?]+)/.*", re.IGNORECASE | re.DOTALL)


def is_host(value: bytes) -> bool:
    """Whether the value of a Host header is one host, with or without a port."""
    return len(value) <= LONGEST_HOST and HOST.fullmatch(value) is not None


def check_head(method: bytes, target: bytes, version: str, lines: Lines) -> None:
    """Refuse a head that two parsers may read differently.

    Args:
        method: as it was sent.
        target: the request target, which follows the method.
        version: of HTTP, such as "1.1".
        lines: the headers by their lower-case names, in the order in which they came.

    Raises:
        BadRequest: naming what is ambiguous.
    """
    if version not in VERSIONS:
        raise BadRequest(f"Expected HTTP/1.1, got HTTP/{version}; send HTTP/1.1.")
    names = [name for name, _ in lines]
    for name in ONCE:
        if names.count(name) > 1:
            raise BadRequest(
                f"Expected one {name.decode()} header, got {names.count(name)}; send one."
            )
    headers = dict(lines)
    if not MISSPELT.isdisjoint(headers):
        raise BadRequest("Expected Content-Length and Transfer-Encoding with a dash, got a '_'.")
    _check_host(version, headers.get(b"host"))
    _check_length(version, headers)
    _check_target(method, target, headers.get(b"host"))


def _check_host(version: str, host: bytes | None) -> None:
    if host is None:
        if version != "1.0":
            raise BadRequest("Expected a Host header in an HTTP/1.1 request, got none; send one.")
    elif not is_host(host):
        raise BadRequest(
            f"Expected a Host header with one name or address, got {_quoted(host)}; send that of "
            f"the URL."
        )


def _check_length(version: str, headers: dict[bytes, bytes]) -> None:
    encoding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if encoding is not None:
        if version == "1.0":
            raise BadRequest(
                "Expected a Content-Length in an HTTP/1.0 request, got Transfer-Encoding; send "
                "HTTP/1.1, or the length."
            )
        if encoding.lower() != b"chunked":
            raise BadRequest(
                f"Expected Transfer-Encoding to be 'chunked' alone, got {_quoted(encoding)}; a "
                f"compressed body says so in Content-Encoding."
            )
        if length is not None:
            raise BadRequest(
                "Expected Content-Length or Transfer-Encoding, got both; send one of them."
            )
    elif length is not None and len(length) > MOST_DIGITS:
        raise BadRequest(
            f"Expected a Content-Length of at most {MOST_DIGITS} digits, got {len(length)}."
        )


def _check_target(method: bytes, target: bytes, host: bytes | None) -> None:
    if method == b"CONNECT":
        raise BadRequest("Expected a request for a path, got CONNECT; this service is no proxy.")
    if not TARGET.fullmatch(target):
        raise BadRequest(
            f"Expected a path of visible ASCII characters without '#', got {_quoted(target)}; "
            f"encode others as %XX."
        )
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadRequest(f"Expected a path that begins with '/', got {_quoted(target)}.")
    authority = absolute[1]
    if host is None:
        if not is_host(authority):
            raise BadRequest(f"Expected a URL with a host, got {_quoted(target)}.")
    elif authority.lower() != host.lower():
        raise BadRequest(
            f"Expected the host of the URL in the Host header, got {_quoted(authority)} and "
            f"{_quoted(host)}; send the same."
        )


def check_trailers(lines: Lines) -> None:
    """Refuse trailers of a chunked body that belong in the head.

    Args:
        lines: the trailers by their lower-case names.

    Raises:
        BadRequest: naming one of them.
    """
    late = sorted(NEVER_IN_TRAILERS.intersection(name for name, _ in lines))
    if late:
        raise BadRequest(f"Expected {late[0].decode()} in the head, got it behind the body.")


def _quoted(value: bytes) -> str:
    return repr(value[:64].decode("latin-1"))
