"""What the bulk read lets through is what reading value by value gives, to the bit."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lockstep.artifact.columns import Column
from lockstep.artifact.encoding import encode
from lockstep.errors import InvalidInstances
from lockstep_service.forms.bulk import BulkReader

WIDTH = 3
COLUMNS = tuple(Column(name=f"c{i}") for i in range(WIDTH))
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1)
)
ANYTHING = st.recursive(
    st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=12,
)


def by_value(instances):
    """What the other way reads, or None where it refuses."""
    try:
        return encode(instances, COLUMNS)
    except InvalidInstances:
        return None


@given(st.lists(st.lists(NUMBERS, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=5))
def test_rows_of_numbers_have_the_bits_that_reading_by_value_gives(instances):
    read = BulkReader(WIDTH).read(json.dumps({"instances": instances}).encode())
    expected = by_value(orjson.loads(json.dumps(instances)))
    if expected is None:  # beyond float32: told by an infinity, and refused by the checks
        assert read is None or not np.isfinite(read).all()
    else:
        assert read.tobytes() == expected.tobytes()


@pytest.mark.slow
@given(ANYTHING)
@example([[1, [2, 3]], [[], 5], [1, 2, 3]])
@example([[1, 2, 3], [1, 2], [3, 4, 5, 6]])
@example([[[1, 2, 3]]])
@example([1, 2, 3])
@example([[1, [2], 3]])
@example([[1, 2, True]])
@example([])
def test_whatever_else_comes_is_left_to_reading_by_value_or_read_alike(instances):
    body = json.dumps({"instances": instances}).encode()
    read = BulkReader(WIDTH).read(body)
    if read is not None and np.isfinite(read).all():
        assert read.tobytes() == by_value(orjson.loads(body)["instances"]).tobytes()


@given(st.binary(max_size=60), st.integers(0, 40), st.integers(0, 40))
def test_no_bytes_make_it_fail(noise, start, stop):
    body = b'{"instances": [[1, 2.5, -3e2], [4, 5, 6]]}'
    read = BulkReader(WIDTH).read(body[:start] + noise + body[stop:])
    assert read is None or read.shape[1] == WIDTH


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [[1, 2, 3]], "instances": [[4, 5, 6]]}',
        b'{"instances": [[1, 2, 3]], "more": 1}',
        b'\xef\xbb\xbf{"instances": [[1, 2, 3]]}',
        b"[[1, 2, 3]]",
        b"",
    ],
)
def test_another_body_is_left_to_reading_by_value(body):
    assert BulkReader(WIDTH).read(body) is None


def test_one_reader_reads_request_after_request():
    reader = BulkReader(WIDTH)
    for i in range(50):
        assert reader.read(b'{"instances": [[1, 2, null]]}') is None
        read = reader.read(json.dumps({"instances": [[i, 1, 2]]}).encode())
        np.testing.assert_array_equal(read, [[i, 1, 2]])
