"""One arm in a process of its own: ``python -m benchmarks.training.worker ARM CASE THREADS``."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module

from benchmarks.training.cases import CASES
from benchmarks.training.lap import Lap


def main() -> None:
    """Train until nobody asks for a further epoch."""
    arm, name, threads = sys.argv[1:]
    case = next(case for case in CASES if case.name == name)
    if arm != "scikit_learn":  # it computes by OpenBLAS, which reads the environment
        import torch  # noqa: PLC0415

        torch.set_num_threads(int(threads))
        torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr):
        import_module(f"benchmarks.training.arms.{arm}").train(case, Lap())


if __name__ == "__main__":
    main()
