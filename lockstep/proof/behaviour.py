"""Measured behaviour: determinism of repeated runs, and invariance of a row to its batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Engine, Outputs
from lockstep.engine.tile import TiledEngine, run_in_pieces
from lockstep.proof.parity import RELATIVE_BOUND, compare, output_scale

# Measured on AVX2 and AVX-512: no tile is safe everywhere. So several are tried, and the first that
# is proved is used. A tile of one row holds by construction.
TILES = (32, 16, 64, 8, 4, 2, 1)
BATCHES_PER_SIZE = 2
SEED = 0
"""Seed of the draws: every run tries the same batches."""


class Determinism(BaseModel):
    """Whether repeated runs of the same input agree.

    Attributes:
        runs: the number of runs.
        rows: the number of rows in the input.
        holds: whether all runs gave the same bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int
    rows: int
    holds: bool


class BatchInvariance(BaseModel):
    """Whether a row has the same bits alone and in batches.

    Attributes:
        batch_sizes: the sizes that were tried, as ranges: ``1-64, 100, 256``.
        tried: the number of sizes that were tried.
        asked: the number of sizes to try; larger than ``tried`` if the time ran out.
        batches: the number of batches, each a random draw of rows and outliers.
        holds: whether every row had the same bits as alone.
        counterexample: the first row and batch that differ.
        farthest: the largest difference in that batch, relative to the outputs' deviation. At about
            1e-7 the library's kernels round otherwise; at much more, rows are mixed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_sizes: str
    tried: int
    asked: int
    batches: int
    holds: bool
    counterexample: str | None = None
    farthest: float | None = None

    @property
    def rounding_only(self) -> bool:
        """Whether the difference is within the bound of parity, so that a tile can remove it."""
        return self.farthest is not None and self.farthest <= RELATIVE_BOUND


def ranges(sizes: Sequence[int]) -> str:
    """Numbers as ranges, e.g. ``1-64, 100, 256``."""
    parts: list[tuple[int, int]] = []
    for size in sorted(set(sizes)):
        if parts and size == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], size)
        else:
            parts.append((size, size))
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def same_bits(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """For each row, whether both arrays hold the same bits; NaN equals NaN.

    Args:
        left: ``[n, ...]``.
        right: ``[n, ...]``, of the same type and shape.

    Returns:
        bool ``[n]``.
    """
    if left.shape != right.shape or left.dtype != right.dtype:
        return np.zeros(len(left), np.bool_)
    equal = left == right
    if left.dtype.kind == "f":
        # 0.0 == -0.0 is true, but their bits differ.
        equal &= np.signbit(left) == np.signbit(right)
        equal |= np.isnan(left) & np.isnan(right)
    return equal.reshape(len(left), -1).all(axis=1)  # type: ignore[no-any-return]


def check_determinism(engine: Engine, rows: FeatureArray, runs: int) -> Determinism:
    """Run the same rows several times.

    Args:
        engine: under test.
        rows: ``[n, ...]``.
        runs: ≥ 2.
    """
    first = engine.run(rows)
    holds = all(_all_same(first, engine.run(rows)) for _ in range(runs - 1))
    return Determinism(runs=runs, rows=len(rows), holds=holds)


def _all_same(left: Outputs, right: Outputs) -> bool:
    return all(bool(same_bits(a, b).all()) for a, b in zip(left, right, strict=True))


def check_batch_invariance(
    engine: Engine,
    rows: FeatureArray,
    outliers: FeatureArray,
    batch_sizes: Sequence[int],
    *,
    budget_s: float = float("inf"),
    always: int = 0,
) -> BatchInvariance:
    """Compare rows alone with the same rows in batches of many sizes.

    Args:
        engine: under test.
        rows: ``[n, ...]``.
        outliers: ``[m, ...]`` neighbours far outside the training data.
        batch_sizes: the sizes to try, in this order.
        budget_s: seconds after which no further size is started.
        always: the number of sizes at the start that are tried regardless of time.
    """
    end = time.monotonic() + budget_s
    pool = np.concatenate([rows, outliers])
    alone = run_in_pieces(engine, pool, 1)
    generator = np.random.default_rng(SEED)
    tried: list[int] = []
    batches = 0
    for size in batch_sizes:
        if len(tried) >= always and time.monotonic() > end:
            break
        tried.append(size)
        for drawn in _draws(generator, size, len(pool)):
            batches += 1
            answers = engine.run(np.ascontiguousarray(pool[drawn]))
            wrong = _first_difference(answers, alone, drawn)
            if wrong is not None:
                example = f"row {drawn[wrong]} at position {wrong} of a batch of {size}"
                return BatchInvariance(
                    batch_sizes=ranges(tried),
                    tried=len(tried),
                    asked=len(batch_sizes),
                    batches=batches,
                    holds=False,
                    counterexample=example,
                    farthest=_farthest(answers, alone, drawn, len(rows)),
                )
    return BatchInvariance(
        batch_sizes=ranges(tried),
        tried=len(tried),
        asked=len(batch_sizes),
        batches=batches,
        holds=True,
    )


def _draws(generator: np.random.Generator, size: int, pool: int) -> Iterator[NDArray[np.intp]]:
    for _ in range(BATCHES_PER_SIZE):
        # Whole permutations: no row is drawn twice before every row is drawn once.
        rounds = -(-size // pool)
        yield np.concatenate([generator.permutation(pool) for _ in range(rounds)])[:size]


def _first_difference(answers: Outputs, alone: Outputs, drawn: NDArray[np.intp]) -> int | None:
    for answer, expected in zip(answers, alone, strict=True):
        same = same_bits(answer, expected[drawn])
        if not same.all():
            return int(np.argmin(same))
    return None


def _farthest(answers: Outputs, alone: Outputs, drawn: NDArray[np.intp], n_rows: int) -> float:
    """The largest difference in any output, relative to the deviation of the rows run alone.

    The outputs of outliers are much larger, so rows and outliers have a deviation each.
    """
    distances = [0.0]
    for answer, expected in zip(answers, alone, strict=True):
        if answer.dtype.kind != "f":
            continue
        for kind, group in (
            (drawn < n_rows, slice(n_rows)),
            (drawn >= n_rows, slice(n_rows, None)),
        ):
            if kind.any():
                pair = (expected[drawn[kind]], answer[kind])
                parity = compare("alone", "batch", "", pair, "regression")
                distances.append(parity.max_abs / output_scale(expected[group]))
    return max(distances)


def check_tile(engine: TiledEngine, rows: FeatureArray, outliers: FeatureArray) -> BatchInvariance:
    """Test a tile: every row of the pool at every position, among changing neighbours.

    Args:
        engine: with the tile under test.
        rows: ``[n, ...]``.
        outliers: ``[m, ...]``.
    """
    pool = np.concatenate([rows, outliers])
    alone = run_in_pieces(engine, pool, 1)
    generator = np.random.default_rng(SEED)
    # Position p holds row offset(p) + shift. After all shifts each row was at every position; the
    # offsets are random, so it had other neighbours at each.
    offsets = np.resize(generator.permutation(len(pool)), engine.tile)
    batches = 0
    for shift in range(len(pool)):
        drawn = (offsets + shift) % len(pool)
        batches += 1
        wrong = _first_difference(engine.run(np.ascontiguousarray(pool[drawn])), alone, drawn)
        if wrong is not None:
            return BatchInvariance(
                batch_sizes=str(engine.tile),
                tried=1,
                asked=1,
                batches=batches,
                holds=False,
                counterexample=f"row {drawn[wrong]} at position {wrong} of a tile of {engine.tile}",
            )
    return BatchInvariance(
        batch_sizes=str(engine.tile), tried=1, asked=1, batches=batches, holds=True
    )


def find_tile(
    engine: Engine, rows: FeatureArray, outliers: FeatureArray, largest: int
) -> tuple[TiledEngine, BatchInvariance]:
    """Find the first tile that holds on this machine.

    Args:
        engine: not batch-invariant here without a tile.
        rows: ``[n, ...]``.
        outliers: ``[m, ...]``.
        largest: the most rows of a tile.

    Returns:
        The engine in that tile, and its measured batch invariance.
    """
    for tile in TILES:
        tiled = TiledEngine(engine, tile)
        if tile > 1 and tile <= largest:
            measured = check_tile(tiled, rows, outliers)
            if measured.holds:
                return tiled, measured
    tiled = TiledEngine(engine, 1)
    return tiled, check_tile(tiled, rows, outliers)
