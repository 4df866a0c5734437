"""The data that is trained on: of the size and the shape of well-known tables, and not theirs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DROPOUT = 0.2
LEARNING_RATE = 1e-3


class Case(NamedTuple):
    """A table's size, and the network that learns it."""

    name: str
    rows: int
    features: int
    classes: int
    hidden: tuple[int, ...]
    batch_size: int
    rounds: int

    def __str__(self) -> str:
        widths = "-".join(map(str, (self.features, *self.hidden, self.classes)))
        return f"{self.name}: {self.rows:,} rows, {widths}, batch {self.batch_size}"

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Features and classes, the same each time: the class is a noisy function of the row."""
        generator = np.random.default_rng(0)
        features = generator.normal(size=(self.rows, self.features)).astype(np.float32)
        weights = generator.normal(size=(self.features, self.classes))
        noise = generator.gumbel(size=(self.rows, self.classes))
        return features, (features @ weights / 2 + noise).argmax(axis=1).astype(np.int64)


CASES = (
    Case("Adult-sized", 32_561, 105, 2, (256, 128), batch_size=256, rounds=9),
    Case("digits-sized", 1_797, 64, 10, (128, 64), batch_size=64, rounds=41),
)
