"""The head of a request: refused where two parsers may differ on what it asks, or where it ends.

A proxy that reads a request in one way and a server that reads it in another let a client smuggle
a request past the proxy's rules. The parser refuses what is no HTTP; here is what it accepts, or
may accept in another version, though RFC 9112 does not, or leaves it to the server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lockstep_service.errors import BadRequest

Lines = Sequence[tuple[bytes, bytes]]

VERSIONS = ("1.1", "1.0")
ONCE = (b"host", b"content-length", b"transfer-encoding")
# CGI and its heirs read these as the names with dashes.
MISSPELT = frozenset({b"content_length", b"transfer_encoding"})
# What decides where a message ends, where it goes and how it is read; it comes too late after it.
NEVER_IN_TRAILERS = frozenset(
    {*ONCE, *MISSPELT, b"connection", b"content-encoding", b"content-type", b"expect", b"te"}
    | {b"trailer", b"upgrade", b"authorization"}
)
MOST_DIGITS = 19  # of a content-length; Python reads no number of thousands of them
# A comma is lawful in a name, and is what two Host lines become when a proxy joins them.
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+(%[\w.~%-]+)?\]|[\w.~!$&'()*+;=%-]+)(:[0-9]{0,5})?", re.ASCII)
LONGEST_HOST = 300  # bytes; a name has at most 255
TARGET = re.compile(rb"[!\"$-~]+")  # visible ASCII without "#"
ABSOLUTE = re.compile(rb"https?://([^/?]+)/.*", re.IGNORECASE | re.DOTALL)


def is_host(value: bytes) -> bool:
    """Whether a Host line names one host, with or without a port."""
    return len(value) <= LONGEST_HOST and HOST.fullmatch(value) is not None


def check_head(method: bytes, target: bytes, version: str, lines: Lines) -> None:
    """Refuse a head on which two parsers may differ.

    Args:
        method: as it was sent.
        target: what stands behind the method.
        version: of HTTP, as "1.1".
        lines: the headers by their lower-case names, in the order in which they came.

    Raises:
        BadRequest: saying what is ambiguous.
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
    """Refuse behind a chunked body what would have to stand before it.

    Raises:
        BadRequest: naming the header.
    """
    late = sorted(NEVER_IN_TRAILERS.intersection(name for name, _ in lines))
    if late:
        raise BadRequest(f"Expected {late[0].decode()} in the head, got it behind the body.")


def _quoted(value: bytes) -> str:
    return repr(value[:64].decode("latin-1"))
