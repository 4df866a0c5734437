"""A compressed body is read to its end, and nothing of it is lost or passed over in silence."""

import gzip
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects import LENGTH
from lockstep_service.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from lockstep_service.http import compression
from lockstep_service.http.compression import PIECE_BYTES, unpack
from serving import ask, assert_problem

LIMIT = 2**20
PACKERS = {b"gzip": gzip.compress, b"x-gzip": gzip.compress, b"deflate": zlib.compress}


def noise(size):
    """Bytes that no encoding makes shorter."""
    return np.random.default_rng(size).bytes(size)


PARTS = st.lists(
    st.one_of(st.binary(max_size=200), st.integers(0, 3 * PIECE_BYTES).map(noise)),
    min_size=1,
    max_size=5,
)


@given(PARTS)
def test_all_members_of_a_gzip_body_are_read_as_one(parts):
    body = b"".join(gzip.compress(part) for part in parts)
    assert unpack(body, b"gzip", LIMIT) == b"".join(parts)


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 10 * PIECE_BYTES])
def test_a_body_of_exactly_the_limit_is_unpacked_and_one_byte_more_is_refused(encoding, size):
    plain = noise(size)
    body = PACKERS[encoding](plain)
    assert unpack(body, encoding, size) == plain
    with pytest.raises(BodyTooLarge, match="unpacks to at most"):
        unpack(PACKERS[encoding](plain + b"x"), encoding, size)


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_body_that_is_cut_anywhere_is_refused(encoding):
    body = PACKERS[encoding](bytes(range(100)))
    for length in range(len(body)):
        with pytest.raises(BadRequest, match=r"breaks off|not what Content-Encoding says"):
            unpack(body[:length], encoding, LIMIT)


def test_a_body_that_is_cut_within_its_second_member_is_refused():
    first, second = gzip.compress(b"first"), gzip.compress(b"second")
    for length in range(1, len(second)):
        with pytest.raises(BadRequest, match=r"breaks off|behind the end"):
            unpack(first + second[:length], b"gzip", LIMIT)


@pytest.mark.parametrize("padding", [1, 2, 511, PIECE_BYTES, 3 * PIECE_BYTES])
def test_zeros_behind_the_last_member_are_passed_over_as_gzip_does(padding):
    assert unpack(gzip.compress(b"a") + bytes(padding), b"gzip", LIMIT) == b"a"


BEHIND = {
    "a word": b"more",
    "half a magic": b"\x1f",
    "zeros and a word": bytes(600) + b"more",
    "zeros and a member": bytes(600) + gzip.compress(b"b"),
    "another encoding": zlib.compress(b"b"),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_what_is_no_member_behind_the_end_is_refused(encoding, behind):
    body = PACKERS[encoding](b"a") + BEHIND[behind]
    with pytest.raises(BadRequest, match=f"behind the end .* got {len(BEHIND[behind])} bytes"):
        unpack(body, encoding, LIMIT)


@pytest.mark.parametrize(
    "behind",
    [b"\x00", bytes(512), zlib.compress(b"b"), gzip.compress(b"b")],
    ids=["a zero", "zeros", "a deflated body", "a gzip member"],
)
def test_nothing_at_all_may_stand_behind_a_deflated_body(behind):
    with pytest.raises(BadRequest, match="behind the end"):
        unpack(zlib.compress(b"a") + behind, b"deflate", LIMIT)


def test_the_limit_holds_for_all_members_together_and_no_more_is_ever_unpacked():
    body = gzip.compress(bytes(10**7)) * 100
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            unpack(gzip.compress(bytes(LIMIT)) + body, b"gzip", 2 * LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * LIMIT


def test_more_members_than_anybody_makes_are_refused(monkeypatch):
    monkeypatch.setattr(compression, "MOST_MEMBERS", 3)
    member = gzip.compress(b"a")
    assert unpack(3 * member, b"gzip", LIMIT) == b"aaa"
    with pytest.raises(BadRequest, match="at most 3 members"):
        unpack(4 * member, b"gzip", LIMIT)


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"compress"])
def test_another_encoding_is_refused_by_its_name(encoding):
    with pytest.raises(UnsupportedMediaType, match=f"gzip or deflate.*{encoding.decode()}"):
        unpack(b"", encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "X-GZIP"])
def test_rows_in_several_members_are_all_answered(app, wine, encoding):
    """Rows as bytes alone do not tell how many they are: a lost member was lost rows."""
    rows = np.ascontiguousarray(wine.dataset.test.features[:20])
    headers = {LENGTH: "0"}
    path = "/v2/models/wine/infer"
    plain = ask(app, "POST", path, content=rows.tobytes(), headers=headers)
    packed = b"".join(gzip.compress(row.tobytes()) for row in rows)
    headers["content-encoding"] = encoding
    answer = ask(app, "POST", path, content=packed, headers=headers)
    assert (answer.status_code, answer.content) == (200, plain.content)
    assert_problem(
        ask(app, "POST", path, content=packed + b"more", headers=headers), 400, "4 bytes"
    )
