"""Compression: requests are decompressed and answers compressed, by gzip or deflate."""

from __future__ import annotations

import gzip
import zlib

from lockstep_service.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from lockstep_service.http.responses import Body, HeaderLines

# With these window bits zlib detects the header itself: gzip's or its own.
EITHER_HEADER = 32 + zlib.MAX_WBITS
# x-gzip is the older name of gzip (RFC 9110, 8.4.1.3).
GZIP = frozenset({b"gzip", b"x-gzip"})
GZIP_MAGIC = b"\x1f\x8b"
# Each member costs time, even without bytes.
MOST_MEMBERS = 10_000
# Compressed bytes that are decompressed at once. They expand to at most about a thousand times as
# many.
PIECE_BYTES = 2**14
# A shorter answer becomes hardly shorter by compression, which then costs more than it saves.
LEAST_BYTES = 4096
LEVEL = 1


def unpack(body: Body, encoding: bytes, limit_bytes: int) -> Body:
    """Decompress a body.

    A gzip body may have several members, which are read as one (RFC 1952, 2.2). Zeros may follow
    the last member, as in gzip's own tool. Other bytes after the end are refused.

    Args:
        body: as received.
        encoding: the request's ``Content-Encoding``.
        limit_bytes: the largest body after decompression.

    Raises:
        UnsupportedMediaType: for encodings other than gzip, deflate and identity.
        BodyTooLarge: where the body decompresses to more than the limit. Decompression stops there.
        BadRequest: where the body does not match its encoding.
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
    """Decompress one member, and return the bytes after it.

    Args:
        rest: of the body, from the start of the member.
        plain: the bytes decompressed so far; those of the member are appended.
        limit_bytes: the largest size of ``plain``.
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
    """Compress an answer if the client accepts it and the answer is long enough.

    Args:
        body: of the answer.
        accepted: the request's ``Accept-Encoding``.

    Returns:
        The bytes to send, and the headers that state their encoding; none if not compressed.
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
