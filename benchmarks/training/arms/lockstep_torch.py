"""Lockstep's epoch with torch's own AdamW and its own bound on the gradients."""

from __future__ import annotations

from benchmarks.training.arms import lockstep
from benchmarks.training.cases import Case
from benchmarks.training.lap import Lap
from lockstep_train.fit.optimiser.adam import TorchAdam


def train(case: Case, lap: Lap) -> None:
    """Train for as many epochs as are asked for."""
    lockstep.train(case, lap, TorchAdam)
