import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.proof.parity import RELATIVE_BOUND, compare, max_ulp

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def column(*values: object, dtype: object = np.float32) -> np.ndarray:
    return np.array([[value] for value in values], dtype)


def apart(left: np.ndarray, right: np.ndarray, task: str = "regression"):
    return compare("eager", "onnx", "y", (left, right), task)


@given(finite, st.integers(0, 1000))
def test_the_distance_in_ulp_counts_the_floats_between(value, steps):
    other = np.float32(value)
    with np.errstate(over="ignore"):  # the last float has no next one; it is left out below
        for _ in range(steps % 20):
            other = np.nextafter(other, np.float32(math.inf))
    if np.isfinite(other):
        assert max_ulp(column(value), column(other)) == steps % 20


@given(st.floats(width=64, allow_nan=False, allow_infinity=False))
def test_the_distance_across_zero_is_the_sum_of_both_sides(value):
    zero = column(0.0, dtype=np.float64)
    there = max_ulp(column(value, dtype=np.float64), zero)
    assert max_ulp(column(value, dtype=np.float64), column(-value, dtype=np.float64)) == 2 * there


def test_zero_and_minus_zero_are_no_ulp_apart():
    assert max_ulp(column(0.0), column(-0.0)) == 0


def test_probabilities_are_held_to_an_absolute_bound():
    near, far = column(0.5 + 0.9e-5), column(0.5 + 1.2e-5)
    assert apart(column(0.5), near, "classification").holds
    assert not apart(column(0.5), far, "classification").holds
    assert apart(column(0.5), near, "classification").bound == RELATIVE_BOUND


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_number_is_held_to_a_bound_of_its_own_scale(scale):
    values = np.random.default_rng(0).normal(0, scale, (50, 1))
    good = (values * (1 + 1e-7)).astype(np.float32)
    bad = (values + 1e-4 * scale).astype(np.float32)
    assert apart(values.astype(np.float32), good).holds
    assert not apart(values.astype(np.float32), bad).holds


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        ((1.0, math.nan), (1.0, math.nan), True),
        ((1.0, math.nan), (1.0, 1.0), False),
        ((1.0, math.inf), (1.0, math.inf), True),
        ((1.0, math.inf), (1.0, -math.inf), False),
        ((1.0, math.inf), (1.0, 3e38), False),
        ((5.0, 5.0), (5.0, 5.0), True),
        ((0.0, 0.0), (0.0, 1e-6), True),
        ((0.0, 0.0), (0.0, 1e-4), False),
    ],
)
def test_what_is_no_plain_number_must_be_the_same(left, right, holds):
    assert apart(column(*left), column(*right)).holds == holds


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        (column("a", "b", dtype=object), column("a", "b", dtype=object), True),
        (column("a", "b", dtype=object), column("a", "c", dtype=object), False),
        (column("a", "b", dtype=object), column("a", "b", dtype=np.str_), True),
        (column(1, 2, dtype=np.int64), column(1, 2, dtype=np.int64), True),
        (column(1, 2, dtype=np.int64), column(1, 3, dtype=np.int64), False),
        (column(1.0, 2.0), np.ones((2, 2), np.float32), False),
    ],
)
def test_labels_and_whole_numbers_must_be_equal(left, right, holds):
    found = apart(left, right)
    assert found.holds == holds
    assert found.max_ulp is None


def test_figures_can_travel_as_json():
    found = apart(column(1.0), column(math.nan))
    assert math.isfinite(found.max_abs)
    assert not found.holds
