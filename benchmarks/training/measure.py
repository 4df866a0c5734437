"""The arms take turns, an epoch each, and the medians are kept."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from benchmarks.process import ROOT
from benchmarks.training.cases import Case
from benchmarks.training.environments import NotInstalled, python_of
from benchmarks.training.lap import Figures

THREADS = 2
"""That every arm computes with."""

WARM_UP = 3
"""Epochs of each arm that do not count."""


class Arm(NamedTuple):
    """Something that trains.

    Attributes:
        name: in the table.
        module: in `benchmarks.training.arms`.
        requirements: packages that are only there for it.
    """

    name: str
    module: str
    requirements: tuple[str, ...] = ()


LOCKSTEP = Arm("Lockstep", "lockstep")
WITH_TORCH = Arm("Lockstep with torch's AdamW", "lockstep_torch")
PLAIN = Arm("plain PyTorch loop", "plain")
SCIKIT_LEARN = Arm("scikit-learn MLPClassifier", "scikit_learn")
SKORCH = Arm("skorch", "skorch", ("skorch==1.4.0",))
LIGHTNING = Arm("Lightning", "lightning", ("lightning==2.6.6",))

ARMS = (LOCKSTEP, WITH_TORCH, PLAIN, SCIKIT_LEARN)
PEERS = (SKORCH, LIGHTNING)


def installed(arms: Sequence[Arm], say: Callable[[str], None]) -> Iterator[Arm]:
    """The arms that can be run here; of the others it is said why not."""
    for arm in arms:
        try:
            python_of(arm.requirements)
        except NotInstalled as error:
            say(f"left out: {error}")
        else:
            yield arm


def measure(case: Case, arms: Sequence[Arm], *, threads: int = THREADS) -> dict[str, Figures]:
    """Medians of each arm's epochs, by name; in each round every arm has its turn."""
    taken: dict[str, list[Figures]] = {arm.name: [] for arm in arms}
    with ExitStack() as stack:
        epochs = {arm.name: stack.enter_context(_training(arm, case, threads)) for arm in arms}
        for turn in range(WARM_UP + case.rounds):
            for name, epoch in epochs.items():
                figures = epoch()
                if turn >= WARM_UP:
                    taken[name].append(figures)
    return {
        name: Figures(*map(statistics.median, zip(*every, strict=True)))
        for name, every in taken.items()
    }


@contextmanager
def _training(arm: Arm, case: Case, threads: int) -> Iterator[Callable[[], Figures]]:
    """What runs one epoch of an arm, in a process that ends with the block."""
    command = [python_of(arm.requirements), "-m", "benchmarks.training.worker"]
    process = subprocess.Popen(
        [*command, arm.module, case.name, str(threads)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )

    def epoch() -> Figures:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write("\n")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{arm.name} ended with {process.wait()}; it says why above.")
        return Figures(*json.loads(line))

    with process:
        yield epoch
        process.communicate()
