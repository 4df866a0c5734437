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


FLAG = Column(name="flag", kind="boolean", missing_allowed=True)
OPEN = Column(
    name="colour",
    kind="categorical",
    vocabulary=("red", "green"),
    missing_allowed=True,
    unknown_allowed=True,
    missing_words=("?", "NA"),
)
STORE = Column(name="store", kind="categorical", vocabulary=("12", "7", "-3"))


def code_of(value, column):
    return encode([[value]], [column])[0, 0]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        *[(value, 1) for value in (True, 1, 1.0, "true", "Yes", " T ", "y", "on", "1")],
        *[(value, 0) for value in (False, 0, 0.0, "FALSE", "no", "f", "n", "Off", "0")],
        *[(value, math.nan) for value in (None, math.nan)],
    ],
)
def test_a_boolean_is_true_or_false_a_bit_or_a_word(value, code):
    np.testing.assert_equal(code_of(value, FLAG), np.float32(code))
    np.testing.assert_equal(encode([{"flag": value}], [FLAG])[0, 0], np.float32(code))


@pytest.mark.parametrize(
    ("value", "shown"), [("maybe", "'maybe'"), (2, "2"), (0.5, "0.5"), ([], "a list"), ("", "''")]
)
def test_what_is_neither_true_nor_false_is_refused(value, shown):
    with pytest.raises(
        InvalidInstances, match=r"column flag: expected (true or false|0 or 1), got"
    ):
        code_of(value, FLAG)
    with pytest.raises(InvalidInstances, match=f"expected true or false, got .*{shown}"):
        encode([{"flag": value}], [FLAG])


@pytest.mark.parametrize(
    ("value", "code"),
    [("red", 0), (" green ", 1), ("blue", 2), ("", 2), ("?", math.nan), (" NA", math.nan)],
)
def test_a_category_never_seen_has_the_code_after_the_last_and_a_marker_is_missing(value, code):
    np.testing.assert_equal(code_of(value, OPEN), np.float32(code))


@pytest.mark.parametrize("value", [1, 1.5, True, [], {}])
def test_what_is_no_string_is_no_unknown_category(value):
    with pytest.raises(InvalidInstances, match="column colour: expected a category as a string"):
        code_of(value, OPEN)


@pytest.mark.parametrize(
    ("value", "code"), [(12, 0), (7.0, 1), ("7", 1), (" 12", 0), (-3, 2), ("-3", 2)]
)
def test_a_category_that_is_a_whole_number_may_come_as_one(value, code):
    assert code_of(value, STORE) == code
    with pytest.raises(InvalidInstances, match="expected one of 3 categories, got the string '8'"):
        code_of(8, STORE)
    assert code_of(8, STORE.model_copy(update={"unknown_allowed": True})) == 3


def test_a_missing_word_is_missing_in_a_column_of_numbers_too():
    column = Column(name="a", missing_allowed=True, missing_words=("?",))
    assert math.isnan(code_of("?", column))
    with pytest.raises(InvalidInstances, match="column a: expected a value, got none"):
        code_of("?", column.model_copy(update={"missing_allowed": False}))
    with pytest.raises(InvalidInstances, match="column a: expected a number, got the string '!'"):
        code_of("!", column)


@pytest.mark.parametrize(
    ("column", "good", "bad", "sentence"),
    [
        (FLAG, (0, 1, math.nan), (-1, 2, 0.5, math.inf), "column flag: expected"),
        (OPEN, (0, 1, 2, math.nan), (-1, 3, 0.5, math.inf), "column colour: expected"),
        (STORE, (0, 1, 2), (-1, 3, math.nan), "column store: expected"),
    ],
)
def test_codes_are_held_to_what_the_column_can_hold(column, good, bad, sentence):
    check_features(np.array([[value] for value in good], np.float32), [column])
    for value in bad:
        with pytest.raises(InvalidInstances, match=sentence):
            check_features(np.array([[value]], np.float32), [column])


def test_a_code_beyond_the_unknown_one_is_answered_with_the_range():
    with pytest.raises(InvalidInstances, match=r"from 0 to 2 \(never seen\), got 3"):
        check_features(np.array([[3]], np.float32), [OPEN])


def test_what_is_looked_up_for_a_column_is_no_part_of_it():
    column = OPEN.model_copy()
    assert column.codes == {"red": 0, "green": 1}
    assert column == OPEN
    assert Column.model_validate_json(column.model_dump_json()) == column


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
