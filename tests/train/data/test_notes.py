"""Suspicion: duplicates, and columns that give the target away."""

import numpy as np
import pytest

N = 400
RANDOM = np.random.default_rng(1)
NOISE = RANDOM.normal(size=N)
CLASSES = RANDOM.choice(["a", "b", "c"], N)
NUMBERS = RANDOM.normal(size=N) * 30 + 100


def gives_away(dataset, name="c"):
    return any(f"Column {name} alone gives y away" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("target", "column"),
    [
        (CLASSES, np.char.upper(CLASSES)),
        (CLASSES, (CLASSES == "a") * 5.0 + (CLASSES == "b") * 9.0 + NOISE / 10),
        (CLASSES == "a", (CLASSES == "a") + NOISE / 100),
        (NUMBERS, NUMBERS * 1.8 + 32),
        (NUMBERS, -np.exp(NUMBERS / 50)),
        (np.floor(NUMBERS / 30), [f"{v:.0f}" for v in np.floor(NUMBERS / 30)]),
    ],
)
def test_a_column_that_gives_the_target_away_is_warned_of(framed, target, column):
    dataset = framed({"x": NOISE, "y": target, "c": column})
    assert gives_away(dataset)
    assert not gives_away(dataset, "x")


@pytest.mark.parametrize(
    ("target", "column"),
    [
        (CLASSES, (CLASSES == "a") + NOISE),
        (NUMBERS, NUMBERS + 5 * NOISE),
        (CLASSES, [f"w{i % 150}" for i in range(N)]),
        (np.where(np.arange(N) % 100 == 0, "rare", "often"), NOISE[::-1]),
    ],
)
def test_a_good_column_is_not_suspected(framed, target, column):
    assert not gives_away(framed({"x": NOISE, "y": target, "c": column}))


def test_rows_that_are_in_two_parts_are_counted(framed):
    half = {"x": np.tile(NOISE[: N // 2], 2), "y": np.tile(CLASSES[: N // 2], 2)}
    notes = " ".join(framed(half).notes)
    assert "validation rows" in notes
    assert "test rows equal a training row in every column and the target" in notes


def test_equal_rows_with_other_targets_are_no_duplicates(framed):
    half = {"x": np.tile(NOISE[: N // 2], 2), "y": ["a"] * (N // 2) + ["b"] * (N // 2)}
    assert not any("equal a training row" in note for note in framed(half).notes)


def test_equal_rows_in_one_group_stay_together(framed):
    half = {"x": np.tile(NOISE[: N // 2], 2), "y": np.tile(CLASSES[: N // 2], 2)}
    dataset = framed({**half, "g": np.tile(np.arange(N // 2), 2)}, group="g")
    assert not any("equal a training row" in note for note in dataset.notes)
