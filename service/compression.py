"""Compressed bodies, both ways: gzip and deflate."""

from __future__ import annotations

import gzip
import zlib

from service.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from service.responses import Body, Headers

# zlib's word for a header that it finds out itself: gzip's or zlib's.
EITHER_HEADER = 32 + zlib.MAX_WBITS
# Below it a compressed answer is no shorter to speak of, and costs more than it saves.
LEAST_BYTES = 4096
LEVEL = 1


def unpack(body: Body, encoding: bytes, limit_bytes: int) -> Body:
    """The bytes of a body as they were before the client compressed them.

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
    if encoding not in {b"gzip", b"deflate"}:
        raise UnsupportedMediaType(
            f"Expected a body compressed with gzip or deflate, or not at all, got "
            f"{encoding.decode('latin-1')[:20]!r}."
        )
    unpacker = zlib.decompressobj(EITHER_HEADER)
    try:
        plain = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise BadRequest(f"The body is not what Content-Encoding says: {error}.") from error
    if len(plain) > limit_bytes:
        raise BodyTooLarge(f"Expected a body that unpacks to at most {limit_bytes} bytes.")
    if not unpacker.eof:
        raise BadRequest("The compressed body breaks off; send the whole of it.")
    return plain


def pack(body: bytes, accepted: bytes) -> tuple[bytes, Headers]:
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
