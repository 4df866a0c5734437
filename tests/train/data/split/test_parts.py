"""Parts: which row goes where."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.data.split.parts import Parts
from lockstep_train.data.split.shares import Shares

SHARES = Shares(0.6, 0.2, 0.2)
N = 60


def cycle(*values):
    return [values[i % len(values)] for i in range(N)]


def held(dataset, part, column=0):
    return getattr(dataset, part).features[:, column]


def disjoint_and_complete(parts, rows):
    together = np.concatenate([part for _, part in parts.named()])
    return sorted(together.tolist()) == sorted(rows.tolist())


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=6),
    st.integers(0, 1000),
    st.sampled_from([SHARES, Shares(0.9, 0.1, 0.0), Shares(0.64, 0.16, 0.2)]),
)
def test_each_class_is_trained_on_and_every_row_is_in_one_part(sizes, seed, shares):
    classes = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(classes)) * 3
    parts = Parts.at_random(rows, classes, shares, seed)
    assert disjoint_and_complete(parts, rows)
    assert set(classes[parts.train // 3]) == set(range(len(sizes)))
    again = Parts.at_random(rows, classes, shares, seed)
    assert all(
        np.array_equal(a, b) for (_, a), (_, b) in zip(parts.named(), again.named(), strict=True)
    )


@given(st.lists(st.integers(0, 30), min_size=30, max_size=200), st.integers(0, 1000))
def test_a_group_lies_in_one_part(groups, seed):
    rows = np.arange(len(groups))
    parts = Parts.by_group(rows, np.array(groups), SHARES, seed)
    assert disjoint_and_complete(parts, rows)
    homes = [{groups[row] for row in part} for _, part in parts.named()]
    assert sum(map(len, homes)) == len(set(groups))
    if len(set(groups)) >= 3:
        assert all(homes)


def test_groups_fill_the_parts_to_about_their_shares_and_the_seed_draws_them():
    groups = np.repeat(np.arange(200), 5)
    one, other = (Parts.by_group(np.arange(1000), groups, SHARES, seed) for seed in (0, 1))
    assert len(one.train) == pytest.approx(600, abs=10)
    assert len(one.test) == pytest.approx(200, abs=10)
    assert set(one.test) != set(other.test)


@given(st.lists(st.integers(0, 50), min_size=10, max_size=100))
def test_later_rows_are_tested_and_equal_times_stay_together(times):
    times = np.array(times)
    parts = Parts.by_time(np.arange(len(times)), times, SHARES)
    assert disjoint_and_complete(parts, np.arange(len(times)))
    held_times = [times[rows] for _, rows in parts.named() if len(rows)]
    for earlier, later in pairwise(held_times):
        assert earlier.max() < later.min()


@pytest.mark.parametrize(
    ("split", "rows", "tested", "expected"),
    [
        ("60/20/20", 100_000, False, (0.6, 0.2, 0.2)),
        ("64/16/20", 100, False, (0.64, 0.16, 0.2)),
        ("8/1/1", 100, False, (0.8, 0.1, 0.1)),
        ("60/20/20", 100, True, (0.8, 0.2, 0.0)),
        ("90/10", 100, True, (0.9, 0.1, 0.0)),
        ("auto", 100, False, (0.6, 0.2, 0.2)),
        ("auto", 100, True, (0.8, 0.2, 0.0)),
        ("auto", 60_000, False, (0.7, 0.1, 0.2)),
        ("auto", 60_000, True, (0.9, 0.1, 0.0)),
    ],
)
def test_shares_are_read(split, rows, tested, expected):
    shares = Shares.of(split, rows, tested=tested)
    assert (shares.train, shares.validation, shares.test) == pytest.approx(expected)


@pytest.mark.parametrize("split", ["60/40", "60/20/0", "0/50/50", "1/2/3/4", "60/20/..", "60/0/40"])
def test_shares_that_make_no_sense_are_refused(framed, split):
    with pytest.raises(InvalidSetting, match=f"such as 60/20/20, got '{re.escape(split)}'"):
        framed({}, split=split)


def test_shares_decide_how_large_the_parts_are(framed):
    dataset = framed({}, split="80/10/10")
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [48, 6, 6]


def test_the_last_rows_by_time_are_tested(framed):
    days = [f"2024-{i // 28 + 1:02}-{i % 28 + 1:02}" for i in range(N)]
    shuffled = np.random.default_rng(0).permutation(N)
    dataset = framed({"x": shuffled / 7, "when": [days[i] for i in shuffled]}, time="when")
    assert held(dataset, "train").max() < held(dataset, "validation").min()
    assert held(dataset, "validation").max() < held(dataset, "test").min()
    assert dataset.column_names == ("x",)


def test_a_time_or_group_that_is_given_a_kind_is_a_feature_too(framed):
    dataset = framed({"year": cycle(*range(20))}, time="year", kinds={"year": "numeric"})
    assert dataset.column_names == ("x", "year")
    assert held(dataset, "train", 1).max() < held(dataset, "test", 1).min()


def test_a_column_of_words_says_which_row_goes_where(framed):
    dataset = framed(
        {"x": cycle(1, 2, 3, 4), "part": cycle("train", "Train", "validation", "test")},
        split="part",
    )
    assert set(held(dataset, "train")) == {1, 2}
    assert set(held(dataset, "validation")) == {3}
    assert set(held(dataset, "test")) == {4}


@pytest.mark.parametrize(
    ("columns", "data", "error", "sentence"),
    [
        ({"part": cycle("train", "dev")}, {"split": "part"}, Unreadable, "row 2, column part: exp"),
        ({"part": cycle("train", "test")}, {"split": "part"}, InvalidSetting, "validation part"),
        ({"g": cycle(1, 2)}, {"group": "g"}, InvalidSetting, "falls to the test part"),
        ({"g": cycle(1, 2, None)}, {"group": "g"}, Unreadable, "row 3, column g: expected a value"),
        ({"t": cycle("soon", "late")}, {"time": "t"}, Unreadable, "row 1, column t: expected numb"),
        (
            {"y": cycle("a", "b")[:58] + ["c"] * 2, "t": list(range(N))},
            {"time": "t"},
            InvalidSetting,
            "No row of the class 'c' of y falls to the training part",
        ),
        ({"x": [1.0, 2, 3, 4], "y": ["a", "b"] * 2}, {}, InvalidSetting, "at least 5 are needed"),
    ],
)
def test_parts_that_cannot_be_made_are_refused(framed, columns, data, error, sentence):
    with pytest.raises(error, match=sentence):
        framed(columns, **data)


@pytest.mark.parametrize("rare", [1, 2, 3, 5])
def test_a_rare_class_is_trained_on_first_and_said(framed, rare):
    dataset = framed({"y": cycle("a", "b")[rare:] + ["rare"] * rare})
    index = dataset.classes.index("rare")
    assert index in dataset.train.targets
    assert any("Fewer than 5 training rows show the classes 'rare'" in n for n in dataset.notes)


def test_the_same_seed_draws_the_same_parts_and_another_others(framed):
    one, again, other = (framed({}, seed=seed).test.features for seed in (1, 1, 2))
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_weights_are_one_on_the_average_of_the_training_rows(framed):
    dataset = framed({"w": cycle(1, 2, 3)}, weight="w")
    assert dataset.column_names == ("x",)
    assert dataset.train.weights.mean() == pytest.approx(1)
    assert dataset.train.weights.dtype == np.float32
    assert len(dataset.test.weights) == len(dataset.test)
    assert len(set(np.unique(dataset.train.weights))) == 3


@pytest.mark.parametrize(
    ("weights", "error", "sentence"),
    [
        (cycle(1, -1), Unreadable, "row 2, column w: expected a weight, a number ≥ 0, got -1"),
        (cycle(1, None), Unreadable, "row 2, column w: expected a weight"),
        (cycle("a", "b"), Unreadable, "row 1, column w: expected a number, got 'a'"),
        (cycle(True, False), Unreadable, "column w: expected numbers"),
        (cycle(0), InvalidSetting, "has weight 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(framed, weights, error, sentence):
    with pytest.raises(error, match=sentence):
        framed({"w": weights}, weight="w")
