import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lockstep.artifact.columns import Column, describe_columns
from lockstep.artifact.encoding import check_features, check_finite, encode, encode_nested
from lockstep.errors import InvalidInstances

COLUMNS = (
    Column(name="height"),
    Column(name="weight", missing_allowed=True),
    Column(name="colour", kind="categorical", vocabulary=("red", "green", "blue")),
)
GOOD = [1.5, 60, "green"]

finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def with_value(column: int, value: object) -> list[object]:
    row: list[object] = list(GOOD)
    row[column] = value
    return row


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        (with_value(0, "tall"), "column height: expected a number, got the string 'tall'"),
        (with_value(0, True), "column height: expected a number, got true"),
        (with_value(0, [1]), "column height: expected a number, got a list of 1"),
        (with_value(0, {}), "column height: expected a number, got an object"),
        (with_value(0, None), "column height: expected a value, got none"),
        (with_value(0, math.nan), "column height: expected a value, got none"),
        (with_value(0, math.inf), "column height: expected a number that float32 can hold"),
        (with_value(1, -math.inf), "column weight: expected a number that float32 can hold"),
        (with_value(0, 1e39), "column height: expected a number that float32 can hold"),
        (with_value(0, 10**400), "column height: expected a number that float32 can hold"),
        (with_value(2, 1), "column colour: expected a category as a string, got 1"),
        (with_value(2, "gren"), "got the string 'gren', did you mean 'green'?"),
        (with_value(2, "?"), "column colour: expected one of 3 categories, got the string '?'"),
        (with_value(2, None), "column colour: expected a value, got none"),
        (GOOD[:2], "instance 1: expected 3 values, got 2"),
        ([*GOOD, 1], "instance 1: expected 3 values, got 4"),
        ([], "instance 1: expected 3 values, got 0"),
        ([GOOD], "instance 1: expected 3 values, got 1"),
        ("row", "expected a list of 3 values or an object by column name, got the string 'row'"),
        (None, "instance 1: expected a list of 3 values or an object by column name, got null"),
        (7, "instance 1: expected a list of 3 values or an object by column name, got 7"),
        ({"height": 1, "weight": 2}, "column colour: the column is not there; send a value"),
        (
            {"heigth": 1, "weight": 2, "colour": "red"},
            "column heigth: there is no such column, did you mean 'height'?",
        ),
        (
            {"height": 1, "weight": 2, "colour": "red", "9": 0},
            "column 9: there is no such column, leave it out",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_instance_and_column(instance, message):
    with pytest.raises(InvalidInstances) as caught:
        encode([GOOD, instance], COLUMNS)
    assert message in str(caught.value)
    assert {problem.instance for problem in caught.value.problems} == {1}


def test_every_problem_is_found_and_the_first_three_are_shown():
    with pytest.raises(InvalidInstances, match="; and 3 more") as caught:
        encode([["x", "y", "z"]] * 2, COLUMNS)
    assert len(caught.value.problems) == 6


def test_a_message_stays_short_however_long_and_many_the_wrong_words_are():
    wrong = {f"{'x' * 10_000}{i}": 0 for i in range(2_000)}
    began = time.monotonic()
    with pytest.raises(InvalidInstances) as caught:
        encode([wrong, [1, 1, "y" * 100_000]], COLUMNS)
    assert time.monotonic() - began < 1
    assert len(str(caught.value)) < 500


def test_a_row_of_numbers_alone_names_what_float32_cannot_hold():
    for value in (1e39, -math.inf, 10**400):
        with pytest.raises(InvalidInstances, match=r"instance 0, column b: .* float32 can hold"):
            encode([[1, value]], [Column(name="a"), Column(name="b")])


def test_no_instance_at_all_is_refused():
    with pytest.raises(InvalidInstances, match="at least one instance"):
        encode([], COLUMNS)
    with pytest.raises(InvalidInstances, match="at least one instance"):
        encode_nested([], (2,))


def test_missing_is_not_a_number_and_a_category_is_its_code():
    features = encode([[1, None, "blue"], {"colour": "red", "weight": 2, "height": 3}], COLUMNS)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.array([[1, np.nan, 2], [3, 2, 0]], np.float32))


@given(st.lists(st.tuples(finite32, finite32), min_size=1, max_size=5))
def test_a_list_and_an_object_give_the_same_bits(rows):
    columns = (Column(name="a"), Column(name="b"))
    lists = encode([list(row) for row in rows], columns)
    objects = encode([{"b": row[1], "a": row[0]} for row in rows], columns)
    assert lists.tobytes() == objects.tobytes()


@given(st.lists(st.tuples(st.floats() | st.integers(), st.floats()), min_size=1, max_size=4))
def test_the_short_way_for_plain_numbers_decides_as_the_long_way_does(rows):
    columns = (Column(name="a"), Column(name="b", missing_allowed=True))

    def outcome(instances):
        try:
            return encode(instances, columns).tobytes()
        except InvalidInstances as error:
            return str(error)

    # A tuple is not taken by the short way.
    assert outcome([list(row) for row in rows]) == outcome(rows)


@given(st.lists(finite32, min_size=1, max_size=8))
def test_a_float32_survives_the_way_through_json(values):
    original = np.array([values], np.float32)
    shortest = [json.loads(str(value)) for value in original[0]]
    encoded = encode([shortest], [Column(name=f"c{i}") for i in range(len(values))])
    assert encoded.tobytes() == original.tobytes()


@pytest.mark.parametrize("code", [-1, 3, 1.5, 1e9])
def test_a_code_that_is_no_whole_number_in_the_vocabulary_is_refused(code):
    features = np.array([[1, 1, code]], np.float32)
    with pytest.raises(InvalidInstances, match="a whole number from 0 to 2"):
        check_features(features, COLUMNS)


@given(
    hnp.arrays(
        np.float32,
        (3, 2),
        elements=st.floats(-1e6, 1e6, width=32) | st.just(np.float32("nan")),
    )
)
def test_a_column_is_described_by_what_is_there(features):
    described = describe_columns(["a", "b"], features)
    for j, column in enumerate(described):
        present = features[:, j][~np.isnan(features[:, j])]
        assert column.missing_allowed == (len(present) < 3)
        if column.statistics is None:
            assert not len(present)
        else:
            assert column.statistics.minimum == present.min()
            assert column.statistics.maximum == present.max()
            assert column.statistics.quantiles["0.5"] == pytest.approx(np.median(present))


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ([[1, 2], [3]], "expected a list of 2, got one of 1"),
        ([[1, 2]], "expected a list of 2, got one of 1"),
        ([[1, 2], [3, "x"]], "expected a number, got the string 'x'"),
        ([[1, 2], [3, None]], "expected a number, got null"),
        ([[1, 2], [3, False]], "expected a number, got false"),
        ([[1, 2], [3, [4]]], "expected a number, got a list of 1"),
        ([[1, 2], 3], "expected nested lists of shape [2], got 3"),
        ([[1, 2], [3, math.nan]], "got NaN or an infinity"),
        ([[1, 2], [3, 1e39]], "got NaN or an infinity"),
        ([[1, 2], [3, 10**400]], "got NaN or an infinity"),
    ],
)
def test_a_tensor_of_another_shape_or_content_is_refused(instance, message):
    with pytest.raises(InvalidInstances) as caught:
        encode_nested([[[0, 0], [0, 0]], instance], (2, 2))
    assert message in str(caught.value)
    assert caught.value.problems[0].instance == 1


@given(hnp.arrays(np.float32, (2, 3, 2), elements=finite32))
def test_a_nested_tensor_keeps_its_bits(tensor):
    assert encode_nested(tensor.tolist(), (3, 2)).tobytes() == tensor.tobytes()


def test_nan_is_refused_where_there_are_no_columns():
    with pytest.raises(InvalidInstances, match="instance 1"):
        check_finite(np.array([[[1.0]], [[np.nan]]], np.float32))
