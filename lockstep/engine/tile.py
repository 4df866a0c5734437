"""Rows in pieces: tiles of a fixed size for engines that need them, pieces for long inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.engine.engine import Engine, EngineName, Outputs


class TiledEngine:
    """Runs every batch in tiles of exactly ``tile`` rows; the last one is padded with zeros.

    The library then sees one batch size only. It remains to be proved that a row's bits do not
    depend on its position in the tile or on its neighbours. A tile of one row has neither.
    """

    def __init__(self, engine: Engine, tile: int) -> None:
        self._engine = engine
        self.tile = tile

    @property
    def name(self) -> EngineName:
        """The engine's name."""
        return self._engine.name

    def run(self, features: FeatureArray) -> Outputs:
        """Run a whole batch; see :class:`lockstep.engine.engine.Engine`."""
        return _joined([self._run_tile(rows) for rows in pieces(features, self.tile)])

    def _run_tile(self, rows: FeatureArray) -> Outputs:
        n = len(rows)
        if n == self.tile:
            return self._engine.run(rows)
        filled = np.zeros((self.tile, *rows.shape[1:]), np.float32)
        filled[:n] = rows
        return tuple(output[:n] for output in self._engine.run(filled))


def run_in_pieces(engine: Engine, features: FeatureArray, max_rows: int) -> Outputs:
    """Run any number of rows in pieces of at most ``max_rows``.

    Args:
        engine: proved to be batch-invariant up to ``max_rows``.
        features: float32 ``[n, ...]``, n ≥ 1, C-contiguous.
        max_rows: the most rows of one run, ≥ 1.

    Returns:
        The outputs in the manifest's order, each with ``n`` rows.

    Raises:
        EngineFailure: where the library could not run a piece.
    """
    return _joined([engine.run(rows) for rows in pieces(features, max_rows)])


def pieces(features: FeatureArray, max_rows: int) -> Iterator[FeatureArray]:
    """Rows in pieces of ``max_rows``; the last one may be shorter.

    Args:
        features: ``[n, ...]``.
        max_rows: the most rows of a piece, ≥ 1.
    """
    for start in range(0, len(features), max_rows):
        yield features[start : start + max_rows]


def _joined(answers: Sequence[Outputs]) -> Outputs:
    if len(answers) == 1:
        return answers[0]
    return tuple(np.concatenate(outputs) for outputs in zip(*answers, strict=True))
