"""Compressed bodies, both ways: gzip and deflate."""

from __future__ import annotations

import gzip
import zlib

from lockstep_service.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from lockstep_service.http.responses import Body, HeaderLines

# zlib's word for a header that it finds out itself: gzip's or zlib's.
EITHER_HEADER = 32 + zlib.MAX_WBITS
# x-gzip is the older name of the same (RFC 9110, 8.4.1.3).
GZIP = frozenset({b"gzip", b"x-gzip"})
GZIP_MAGIC = b"\x1f\x8b"
# Each costs time of its own, however few its bytes.
MOST_MEMBERS = 10_000
# So much is unpacked at once: it becomes at most a thousand times as much.
PIECE_BYTES = 2**14
# Below it a compressed answer is no shorter to speak of, and costs more than it saves.
LEAST_BYTES = 4096
LEVEL = 1


def unpack(body: Body, encoding: bytes, limit_bytes: int) -> Body:
    """The bytes of a body as they were before the client compressed them.

    A gzip body may have several members, which are read as one (RFC 1952, 2.2), and zeros behind
    the last one, as gzip itself reads them. Nothing else may stand behind the end.

    Args:
        body: as received.
        encoding: the ``Content-Encoding``.
        limit_bytes: the most that it may unpack to.

    Raises:
        UnsupportedMediaType: for another encoding than gzip, deflate or identity.
        BodyTooLarge: where it unpacks to more than the limit; no more than that is unpacked.
        BadRequest: where it is not what the encoding says.
    """
    encoding = encoding.strip().lower()
    if encoding in {b"", b"identity"}:
        return body
    if encoding != b"deflate" and encoding not in GZIP:
        raise UnsupportedMediaType(
            f"Expected a body compressed with gzip or deflate, or not at all, got "
            f"{encoding.decode('latin-1')[:20]!r}."
        )
    plain = bytearray()
    rest = _unpack_member(memoryview(body), plain, limit_bytes)
    members = 1
    while encoding in GZIP and rest[:2] == GZIP_MAGIC:
        if members == MOST_MEMBERS:
            raise BadRequest(
                f"Expected a gzip body of at most {MOST_MEMBERS} members, got more; compress it "
                f"as one."
            )
        rest = _unpack_member(rest, plain, limit_bytes)
        members += 1
    if len(rest) and (encoding not in GZIP or bytes(rest).strip(b"\x00")):
        raise BadRequest(
            f"Expected nothing behind the end of the compressed body, got {len(rest)} bytes; send "
            f"the compressed body alone."
        )
    return plain


def _unpack_member(rest: memoryview, plain: bytearray, limit_bytes: int) -> memoryview:
    """Unpack what begins here, and tell what stands behind its end.

    Args:
        rest: of the body.
        plain: what was unpacked so far; it grows.
        limit_bytes: the most that it may grow to.
    """
    unpacker = zlib.decompressobj(EITHER_HEADER)
    for start in range(0, len(rest), PIECE_BYTES):
        piece = rest[start : start + PIECE_BYTES]
        try:
            plain += unpacker.decompress(piece, limit_bytes + 1 - len(plain))
        except zlib.error as error:
            raise BadRequest(f"The body is not what Content-Encoding says: {error}.") from error
        if len(plain) > limit_bytes:
            raise BodyTooLarge(f"Expected a body that unpacks to at most {limit_bytes} bytes.")
        if unpacker.eof:
            return rest[start + len(piece) - len(unpacker.unused_data) :]
    raise BadRequest("The compressed body breaks off; send the whole of it.")


def pack(body: bytes, accepted: bytes) -> tuple[bytes, HeaderLines]:
    """An answer compressed as the client asks, where that is worth it.

    Args:
        body: of the answer.
        accepted: the ``Accept-Encoding``.

    Returns:
        The bytes to send, and the header that says what they are.
    """
    if len(body) < LEAST_BYTES or not accepted:
        return body, ()
    if b"gzip" in accepted:
        packed = gzip.compress(body, LEVEL, mtime=0)
        return packed, ((b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
    if b"deflate" in accepted:
        packed = zlib.compress(body, LEVEL)
        return packed, ((b"content-encoding", b"deflate"), (b"vary", b"accept-encoding"))
    return body, ()
