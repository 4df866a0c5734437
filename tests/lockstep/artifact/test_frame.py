"""A frame has the bits that its rows have, and is refused where they are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.artifact.columns import Column
from lockstep.artifact.encoding import encode
from lockstep.artifact.frame import Numbers, Plain, Words, check_names, encode_frame
from lockstep.errors import InvalidInstances

VOCABULARY = ("off", "1", "2", "true", " padded ", "?")
REAL = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def column(kind, **changes):
    vocabulary = VOCABULARY if kind == "categorical" else None
    return Column(name=f"a {kind}", kind=kind, vocabulary=vocabulary, **changes)


COLUMNS = st.builds(
    column,
    st.sampled_from(["numeric", "categorical", "boolean"]),
    missing_allowed=st.booleans(),
    missing_words=st.sampled_from([(), ("?", "none")]),
    unknown_allowed=st.booleans(),
)


@st.composite
def numbers(draw, n):
    dtype = np.dtype(draw(st.sampled_from([*REAL, "?"])))
    if dtype.kind == "b":
        element = st.booleans()
    elif dtype.kind == "f":
        element = st.one_of(st.floats(width=8 * dtype.itemsize), st.sampled_from([0.0, 1.0, 2.0]))
    else:
        bounds = np.iinfo(dtype)
        element = st.one_of(st.integers(0, 3), st.integers(int(bounds.min), int(bounds.max)))
    values = np.array(draw(st.lists(element, min_size=n, max_size=n)), dtype)
    missing = draw(st.none() | st.lists(st.booleans(), min_size=n, max_size=n))
    return Numbers(values, None if missing is None else np.array(missing))


@st.composite
def words(draw, n):
    known = draw(st.lists(st.sampled_from([*VOCABULARY, "none", " off", "else", ""]), min_size=1))
    places = draw(st.lists(st.integers(-1, len(known) - 1), min_size=n, max_size=n))
    return Words(known, np.array(places))


def plain(n):
    value = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**400), 10**400),
        st.floats(),
        st.sampled_from(VOCABULARY),
        st.just([1]),
    )
    several = st.one_of(value, st.just(1.5), st.integers(0, 2**64 - 1))
    return st.lists(several, min_size=n, max_size=n).map(Plain)


def outcome(encoded):
    """The bits, or the first thing that is wrong."""
    try:
        return encoded().tobytes()
    except InvalidInstances as error:
        return error.problems


@given(data=st.data(), columns=st.lists(COLUMNS, min_size=1, max_size=4))
def test_a_frame_has_the_bits_of_its_rows_or_is_refused_where_they_are(data, columns):
    columns = [c.model_copy(update={"name": f"{i}"}) for i, c in enumerate(columns)]
    n = data.draw(st.integers(1, 5))
    kinds = st.one_of(numbers(n), words(n), plain(n))
    frame = {c.name: data.draw(kinds) for c in columns}
    rows = [{name: values[i] for name, values in frame.items()} for i in range(n)]
    by_row = outcome(lambda: encode(rows, columns))
    by_column = outcome(lambda: encode_frame(frame, columns))
    if isinstance(by_row, bytes) or isinstance(by_column, bytes):
        assert by_column == by_row
    else:
        assert set(by_column) <= set(by_row)


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70)), min_size=1))
def test_numbers_of_json_are_read_at_once_with_the_same_bits(values):
    columns = [Column(name="a", missing_allowed=True)]
    by_row = outcome(lambda: encode([{"a": value} for value in values], columns))
    by_column = outcome(lambda: encode_frame({"a": Plain(values)}, columns))
    assert by_row == by_column


def test_the_order_of_the_columns_is_the_networks():
    columns = [Column(name="a"), Column(name="b")]
    frame = {"b": Numbers(np.array([2, 4])), "a": Numbers(np.array([1.0, 3.0]))}
    assert encode_frame(frame, columns).tolist() == [[1, 2], [3, 4]]


def test_a_frame_without_rows_is_refused():
    with pytest.raises(InvalidInstances, match="at least one instance"):
        encode_frame({"a": Plain([])}, [Column(name="a")])


@pytest.mark.parametrize(
    ("names", "words"),
    [(["a"], "column b: the column is not there"), (["a", "b", "c"], "column c: there is no such")],
)
def test_names_are_held_against_the_columns(names, words):
    with pytest.raises(InvalidInstances, match=words):
        check_names(names, [Column(name="a"), Column(name="b")])


def test_the_row_that_is_wrong_is_told_by_its_place_among_all():
    values = np.zeros(1000)
    texts = Words(["off", "of"], np.array([0] * 999 + [1]))
    columns = [Column(name="a"), column("categorical")]
    with pytest.raises(InvalidInstances) as refusal:
        encode_frame({"a": Numbers(values), columns[1].name: texts}, columns)
    (problem,) = refusal.value.problems
    assert problem.instance == 999
    assert "did you mean 'off'" in json.dumps(problem.message)
