from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corpus import ONNX_CASES, case
from lockstep.artifact.golden import outliers
from lockstep.artifact.manifest import TensorSpec
from lockstep.engine.engine import open_engine
from lockstep.engine.tile import TiledEngine, run_in_pieces
from lockstep.proof.behaviour import (
    check_batch_invariance,
    check_determinism,
    check_tile,
    find_tile,
    ranges,
    same_bits,
)

pytestmark = pytest.mark.slow

ROWS = np.random.default_rng(0).normal(0, 1, (40, 6)).astype(np.float32)
FAR = outliers((), ROWS)[:8]
PROBABILITIES = (TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3)),)


@dataclass
class Fake:
    """An engine that doubles its rows, and does something more to them."""

    spoil: object
    name: str = "onnx"
    batches: list[int] = field(default_factory=list)

    def run(self, features):
        self.batches.append(len(features))
        return (self.spoil(features * 2),)


def honest(rows):
    return rows


def by_position(rows):
    rows[5:] += np.float32(1e-6) * abs(rows[5:])
    return rows


def by_size(rows):
    return rows * np.float32(1 if len(rows) == 1 else 1.0000001)


def by_neighbours(rows):
    return rows + rows.mean(axis=0, keepdims=True) * np.float32(1e-3)


def by_sign_of_zero(rows):
    return np.where(len(rows) > 1, -0.0, 0.0).astype(np.float32) * rows[:, :1]


def below_a_batch_of(limit):
    def spoil(rows):
        return rows if len(rows) < limit else by_position(rows)

    return spoil


def above_a_batch_of(limit):
    def spoil(rows):
        return rows if len(rows) == 1 or len(rows) > limit else by_position(rows + 0)

    return spoil


# -- same bits ---------------------------------------------------------------------------------


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(width=32)))
def test_an_array_has_the_same_bits_as_itself(array):
    assert same_bits(array, array.copy()).all()


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (0.0, -0.0, False),
        (1.0, np.nextafter(np.float32(1), np.float32(2)), False),
        (np.nan, np.nan, True),
        (np.nan, 1.0, False),
        (np.inf, -np.inf, False),
    ],
)
def test_rows_differ_where_any_bit_does(left, right, same):
    rows = [np.array([[7, value]], np.float32) for value in (left, right)]
    assert same_bits(*rows).tolist() == [same]


def test_arrays_of_other_shapes_or_types_are_not_the_same():
    assert not same_bits(np.zeros((2, 1)), np.zeros((2, 2))).any()
    assert not same_bits(np.zeros((2, 1)), np.zeros((2, 1), np.float32)).any()


def test_strings_and_whole_numbers_are_compared_too():
    words = np.array(["a", "b"], object)
    assert same_bits(words, np.array(["a", "c"], object)).tolist() == [True, False]
    assert same_bits(np.arange(2), np.arange(2)).all()


# -- determinism and batch invariance ----------------------------------------------------------


def test_an_engine_that_draws_is_not_deterministic():
    generator = np.random.default_rng(0)
    random = Fake(lambda rows: rows + generator.random(rows.shape, np.float32) * 1e-3)
    assert not check_determinism(random, ROWS, runs=3).holds
    assert check_determinism(Fake(honest), ROWS, runs=3).holds


def test_an_engine_that_changes_its_mind_late_is_found():
    calls = iter(range(1000))
    late = Fake(lambda rows: rows + (next(calls) == 99))
    assert not check_determinism(late, ROWS, runs=100).holds


@pytest.mark.parametrize("spoil", [by_position, by_size, by_neighbours, by_sign_of_zero])
def test_an_engine_whose_rows_depend_on_their_batch_is_found(spoil):
    found = check_batch_invariance(Fake(spoil), ROWS, FAR, range(1, 33))
    assert not found.holds
    assert "of a batch of" in found.counterexample


def test_an_honest_engine_holds_at_every_size_that_was_asked_for():
    engine = Fake(honest)
    found = check_batch_invariance(engine, ROWS, FAR, [1, 2, 3, 64, 200])
    assert found.holds
    assert (found.batch_sizes, found.tried, found.asked) == ("1-3, 64, 200", 5, 5)
    assert found.batches == 10
    assert set(engine.batches) == {1, 2, 3, 64, 200}


def test_what_time_did_not_allow_is_said():
    found = check_batch_invariance(Fake(honest), ROWS, FAR, range(1, 50), budget_s=0.0)
    assert found.tried < found.asked == 49


@given(st.lists(st.integers(1, 300), min_size=1))
def test_ranges_name_exactly_the_sizes(sizes):
    named = set()
    for part in ranges(sizes).split(", "):
        first, _, last = part.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == set(sizes)


# -- real files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [case.name for case in ONNX_CASES if case.servable and case.random]
)
def test_randomness_shows_itself_with_optimisations_off(name):
    engine = open_engine("onnx", case(name).read(), PROBABILITIES, optimised=False)
    assert not check_determinism(engine, ROWS, runs=5).holds


@pytest.mark.parametrize(
    "name",
    [case.name for case in ONNX_CASES if case.servable and case.mixes_rows and not case.random],
)
def test_batch_statistics_are_repeatable_and_yet_not_batch_invariant(name):
    engine = open_engine("onnx", case(name).read(), PROBABILITIES)
    assert check_determinism(engine, ROWS, runs=5).holds
    assert not check_batch_invariance(engine, ROWS, FAR, range(1, 17)).holds


# -- tiles -------------------------------------------------------------------------------------


def test_a_tile_shows_its_engine_one_batch_size_only():
    engine = Fake(honest)
    answers = TiledEngine(engine, 8).run(ROWS[:19])[0]
    assert np.array_equal(answers, ROWS[:19] * 2)
    assert engine.batches == [8, 8, 8]


@given(rows=st.integers(1, 40), largest=st.integers(1, 45))
def test_pieces_answer_every_row_in_order_and_none_is_too_large(rows, largest):
    engine = Fake(honest)
    answers = run_in_pieces(engine, ROWS[:rows], largest)[0]
    assert np.array_equal(answers, ROWS[:rows] * 2)
    assert max(engine.batches) <= largest


def test_a_tile_is_found_for_an_engine_that_needs_one():
    tiled, measured = find_tile(Fake(below_a_batch_of(16)), ROWS, FAR, largest=256)
    assert tiled.tile == 8
    assert measured.holds
    assert check_batch_invariance(tiled, ROWS, FAR, range(1, 40)).holds


def test_the_first_tile_that_is_proved_is_taken():
    tiled, _ = find_tile(Fake(above_a_batch_of(16)), ROWS, FAR, largest=256)
    assert tiled.tile == 32


def test_no_tile_is_larger_than_the_largest_batch():
    tiled, _ = find_tile(Fake(by_size), ROWS, FAR, largest=20)
    assert tiled.tile == 16


@pytest.mark.parametrize(
    ("spoil", "tile"),
    [(by_size, 32), (by_position, 4), (by_neighbours, 1)],
    ids=["size", "position", "neighbours"],
)
def test_the_tile_that_is_found_holds_and_one_row_always_does(spoil, tile):
    tiled, measured = find_tile(Fake(spoil), ROWS, FAR, largest=256)
    assert tiled.tile == tile
    assert measured.holds
    assert check_batch_invariance(tiled, ROWS, FAR, range(1, 40)).holds


def test_a_tile_is_tried_with_every_row_at_every_position():
    seen = set()

    def note(rows):
        if len(rows) == 4:
            seen.update((position, row.tobytes()) for position, row in enumerate(rows))
        return rows

    measured = check_tile(TiledEngine(Fake(note), 4), ROWS, FAR)
    pool = np.concatenate([ROWS, FAR]) * 2
    assert measured.batches == len(pool)
    assert seen >= {(position, row.tobytes()) for position in range(4) for row in pool}


def test_a_single_bad_position_in_a_tile_is_found():
    def last_of_eight(rows):
        if len(rows) == 8:
            rows[7] += 1
        return rows

    measured = check_tile(TiledEngine(Fake(last_of_eight), 8), ROWS, FAR)
    assert not measured.holds
    assert "at position 7 of a tile of 8" in measured.counterexample


def test_torchscript_that_is_not_invariant_gets_a_tile_that_is(artifact):
    golden = np.load(artifact / "golden.npz")["features"]
    engine = open_engine("torchscript", (artifact / "model.ts").read_bytes(), PROBABILITIES)
    tiled, measured = find_tile(engine, golden, golden[:16] * 1000, largest=256)
    assert measured.holds
    assert check_batch_invariance(tiled, golden, golden[:16] * 1000, range(1, 70, 7)).holds


def test_torchscript_keeps_its_bits_from_the_first_run_on_and_in_every_thread(artifact):
    golden = np.load(artifact / "golden.npz")["features"]
    engine = open_engine("torchscript", (artifact / "model.ts").read_bytes(), PROBABILITIES)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: engine.run(golden)[0], range(12)))
    answers += [engine.run(golden)[0] for _ in range(4)]
    assert len({answer.tobytes() for answer in answers}) == 1
    assert not torch.from_numpy(answers[0]).requires_grad


def test_a_difference_of_the_size_of_rounding_is_told_from_rows_that_mix():
    rounding = check_batch_invariance(Fake(by_size), ROWS, FAR, [2])
    assert not rounding.holds
    assert rounding.rounding_only
    mixing = check_batch_invariance(Fake(by_neighbours), ROWS, FAR, [2])
    assert not mixing.holds
    assert not mixing.rounding_only
