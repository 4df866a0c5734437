"""Lockstep with its defaults, scikit-learn in the same folds, and each regulariser taken away.

Run it with ``make results``: it measures what is not measured yet, a JSON file a run under
.lockstep/results, and writes docs/results.md. Ctrl-C loses the run that goes on; start it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import get_args

from benchmarks.process import ROOT
from benchmarks.results.ablation import ablation_arms
from benchmarks.results.bounds import label, main_figure
from benchmarks.results.folds import Fold
from benchmarks.results.page import Results, page
from benchmarks.results.peers import peer_arms
from benchmarks.results.runs import Arm, Group, Run, Runs
from benchmarks.results.served import lockstep_arm
from benchmarks.results.sources import SOURCES, Source
from benchmarks.serving.page import write_between_markers

PAGE = ROOT / "docs" / "results.md"
BEGIN = "<!-- benchmark: written by make results -->"
RUNS = ROOT / ".lockstep" / "results"
INTERRUPTED = 130

ARMS: dict[Group, Callable[[Fold], list[Arm]]] = {
    "lockstep": lambda fold: [lockstep_arm(fold)],
    "peer": peer_arms,
    "ablation": ablation_arms,
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page if everything was measured; returns the exit code."""
    arguments = _arguments(words)
    chosen = [source for source in SOURCES if source.name in arguments.only]
    absent = [source.absent for source in chosen if source.absent]
    for sentence in absent:
        _say(sentence)
    runs = Runs(RUNS)
    try:
        measured = [
            measure(source, arguments.seeds, arguments.groups, runs)
            for source in chosen
            if not source.absent
        ]
    except KeyboardInterrupt:
        print("\nInterrupted: every run that was over is kept; start again to go on.")
        return INTERRUPTED
    text = page([results for results in measured if results.runs], absent)
    print(f"\n{text}\n")
    found = [verdict for results in measured for verdict in results.verdicts]
    print(f"{sum(verdict.is_met for verdict in found)} of {len(found)} bounds met.")
    if absent or not _is_whole(arguments):
        print(f"{PAGE.relative_to(ROOT)} is left as it is: not everything was measured.")
    else:
        write_between_markers(PAGE, text, begin=BEGIN)
    return 0


def measure(source: Source, seeds: int | None, groups: Sequence[Group], runs: Runs) -> Results:
    """Measure what is not measured yet of a data set, a fold after the other.

    Args:
        source: that can be measured here.
        seeds: of each arm at most; None: as many as the protocol says.
        groups: of arms.
        runs: keeps each run as soon as it is over.
    """
    results = Results(source)
    for seed in range(min(source.seeds, seeds or source.seeds)):
        fold: Fold | None = None
        for group in groups:
            if seed >= _planned(source, group):
                continue
            fold = fold or source.fold(seed)
            for arm in ARMS[group](fold):
                run, known = runs.take(fold, arm)
                results.add(run)
                if not known:
                    _tell(run)
    return results


def _planned(source: Source, group: Group) -> int:
    planned: dict[Group, int] = {
        "lockstep": source.seeds,
        "peer": source.peer_seeds,
        "ablation": source.ablation_seeds,
    }
    return planned[group]


def _is_whole(arguments: argparse.Namespace) -> bool:
    everything = len(arguments.only) == len(SOURCES) and len(arguments.groups) == len(ARMS)
    return everything and arguments.seeds is None


def _tell(run: Run) -> None:
    figure = main_figure([run])
    what = f"without {run.arm}" if run.group == "ablation" else run.arm
    figures = f"{label(figure)} {run.figures[figure]:.4f}"
    _say(f"{run.source}, seed {run.seed}, {what}: {figures}, {run.seconds:.1f} s")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    names = [source.name for source in SOURCES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="data sets")
    parser.add_argument("--seeds", type=int, help="of each model, at most")
    parser.add_argument(
        "--groups", nargs="+", choices=get_args(Group), default=list(ARMS), help="models"
    )
    return parser.parse_args(words)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
