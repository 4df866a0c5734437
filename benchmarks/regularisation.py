"""What each regulariser is worth: the same network with all of them, without each, with none.

    python benchmarks/regularisation.py --seeds 5 --output regularisation.md

Every arm has the same widths, epochs, schedule, seeds and splits, and never stops early, so that
the curves are complete. The test split is looked at once a run, with the weights of the epoch whose
validation loss was lowest; that choice is itself a regulariser, and every arm has it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.built_in import BUILT_IN, built_in
from lockstep_train.evaluate.evaluate import evaluate
from lockstep_train.fit.curves import Epoch
from lockstep_train.fit.fit import fit
from lockstep_train.report.markdown import markdown_table

Change = dict[str, dict[str, Any]]

NO_DROPOUT: Change = {"network": {"dropout": 0.0, "input_dropout": 0.0}}
NO_BATCH_NORM: Change = {"network": {"batch_norm": False}}
NO_DECAY: Change = {"training": {"weight_decay": 0.0}}
ARMS: dict[str, tuple[Change, ...]] = {
    "full": (),
    "without dropout": (NO_DROPOUT,),
    "without BatchNorm": (NO_BATCH_NORM,),
    "without weight decay": (NO_DECAY,),
    "with none of the three": (NO_DROPOUT, NO_BATCH_NORM, NO_DECAY),
}


@dataclass(frozen=True)
class Run:
    """One arm with one seed: its figures on the test split, and its curves."""

    seed: int
    test: dict[str, float]
    best: Epoch
    last: Epoch
    parting_epoch: int | None
    seconds: float


def measure(source: str, seed: int, epochs: int | None, changes: tuple[Change, ...]) -> Run:
    """Fit one arm with one seed and look at its test split."""
    settings: Change = {"network": {}, "training": {}}
    for change in changes:
        for section, values in change.items():
            settings[section].update(values)
    settings["training"] |= {"seed": seed, "patience": 0} | ({"epochs": epochs} if epochs else {})
    dataset = built_in(source, seed)
    fitted = fit(Configuration.model_validate(settings), dataset)
    return Run(
        seed=seed,
        test=evaluate(fitted.network, dataset.test).as_dict(),
        best=fitted.best,
        last=fitted.history[-1],
        parting_epoch=fitted.parting_epoch,
        seconds=fitted.seconds,
    )


def table_of_runs(runs: dict[str, list[Run]]) -> str:
    """The runs as a Markdown table; the first arm is what the others are held to."""
    reference = next(iter(runs.values()))
    score, loss = [
        name for name in ("accuracy", "rmse", "log_loss", "mae") if name in reference[0].test
    ]
    heads = [
        "network",
        f"test {score}",
        "difference, same seed",
        f"test {loss}",
        "curves part at epoch",
        "training loss at the end",
        "validation loss at the end",
        "gap at the end",
    ]
    rows = []
    for arm, measured in runs.items():
        differences = [
            run.test[score] - other.test[score]
            for run, other in zip(measured, reference, strict=True)
        ]
        cells = [
            arm,
            spread([run.test[score] for run in measured]),
            "" if measured is reference else spread(differences, sign="+"),
            spread([run.test[loss] for run in measured]),
            parting([run.parting_epoch for run in measured]),
            spread([run.last.train_loss for run in measured]),
            spread([run.last.validation_loss for run in measured]),
            spread([run.last.gap for run in measured]),
        ]
        rows.append(cells)
    return markdown_table(heads, rows)


def spread(values: list[float], sign: str = "") -> str:
    """Mean ± standard deviation between the seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):{sign}.4f} ± {deviation:.4f}"


def parting(epochs: list[int | None]) -> str:
    """Median of the epochs, and in how many runs the curves parted at all."""
    parted = [epoch for epoch in epochs if epoch is not None]
    if not parted:
        return "never"
    return f"{statistics.median(parted):g} ({len(parted)} of {len(epochs)} runs)"


def machine() -> str:
    """The processor's name, the cores that may be used, torch's version and the day."""
    names = (
        [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        if Path("/proc/cpuinfo").exists()
        else []
    )
    processor = names[0] if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return f"{processor}, {cores} cores, torch {torch.__version__}, {today}"


def report(source: str, runs: dict[str, list[Run]]) -> str:
    """The whole Markdown text."""
    every = [run for measured in runs.values() for run in measured]
    seeds = [run.seed for run in next(iter(runs.values()))]
    caption = (
        f"{source}, {every[0].last.number} epochs without early stopping, seeds {seeds[0]} to "
        f"{seeds[-1]} (each with its own split), mean ± standard deviation, "
        f"{statistics.fmean(run.seconds for run in every):.1f} s a run. {machine()}."
    )
    return "\n".join([table_of_runs(runs), "", caption, ""])


def main() -> None:
    """Run every arm with every seed, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", choices=BUILT_IN, default="digits")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each arm")
    parser.add_argument("--epochs", type=int, help="instead of the default number")
    parser.add_argument("--output", type=Path, help="a Markdown file, besides the terminal")
    chosen = parser.parse_args()
    runs = {
        arm: [measure(chosen.source, seed, chosen.epochs, changes) for seed in range(chosen.seeds)]
        for arm, changes in ARMS.items()
    }
    text = report(chosen.source, runs)
    print(text, end="")
    if chosen.output:
        chosen.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
