"""Bounds: what the figures are held to, and whether they reach it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.results.peers import NEAREST
from benchmarks.results.runs import Run
from benchmarks.results.served import LOCKSTEP
from benchmarks.results.sources import Source

LOWER_IS_BETTER = frozenset({"rmse", "mae", "log_loss", "ece", "brier"})


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds: mean, deviation between them (of the sample), and their number."""

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of one value or more; of one alone the deviation is 0."""
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), deviation, len(values))

    def text(self, sign: str = "") -> str:
        """As ``0.8612 ± 0.0013``; without a deviation where there was one seed."""
        digits = 2 if abs(self.mean) >= 10 else 4
        mean = f"{self.mean:{sign}.{digits}f}"
        return mean if self.count == 1 else f"{mean} ± {self.deviation:.{digits}f}"


@dataclass(frozen=True)
class Verdict:
    """A figure beside its bound.

    Attributes:
        source: the data set.
        figure: its name.
        reached: by Lockstep, over its seeds.
        bound: that the mean must reach, not rounded.
        reason: for the bound, where it is not given.
    """

    source: str
    figure: str
    reached: Spread
    bound: float
    reason: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the mean is the bound, or better."""
        return not is_better(self.bound, self.reached.mean, self.figure)

    def cells(self) -> list[str]:
        """For a table: data, figure, what was reached, the bound, met or missed."""
        digits = 2 if abs(self.bound) >= 10 else 4
        sign = "≤" if self.figure in LOWER_IS_BETTER else "≥"
        bound = f"{sign} {self.bound:.{digits}f}{f' ({self.reason})' if self.reason else ''}"
        word = "met" if self.is_met else "**missed**"
        return [self.source, label(self.figure), self.reached.text(), bound, word]


def label(figure: str) -> str:
    """A figure's name for people."""
    special = {"roc_auc": "AUC", "rmse": "RMSE", "mae": "MAE", "r2": "R²", "ece": "ECE"}
    return special.get(figure, figure.replace("_", " "))


def is_better(value: float, other: float, figure: str) -> bool:
    """Whether a value of a figure is better than another, and not equal to it."""
    return value < other if figure in LOWER_IS_BETTER else value > other


def main_figure(runs: Iterable[Run]) -> str:
    """The figure that models are told apart by: accuracy, or the error of a number."""
    return "accuracy" if "accuracy" in next(iter(runs)).figures else "rmse"


def spread(runs: Iterable[Run], figure: str) -> Spread:
    """A figure over the runs of one arm."""
    return Spread.of([run.figures[figure] for run in runs])


def verdicts(source: Source, arms: Mapping[str, Sequence[Run]]) -> list[Verdict]:
    """The bounds of a data set; none where Lockstep was not measured, or nobody to hold it to.

    Args:
        source: with bounds, or without: the main figure is then to be the best, or within one
            deviation of the best, of scikit-learn's MLP and linear model.
        arms: the runs of Lockstep and of the peers by their names.
    """
    ours = arms.get(LOCKSTEP)
    if not ours:
        return []
    if source.bounds is not None:
        return [
            Verdict(source.name, figure, spread(ours, figure), bound)
            for figure, bound in source.bounds.items()
        ]
    figure = main_figure(ours)
    nearest = {name: spread(arms[name], figure) for name in NEAREST if name in arms}
    if not nearest:
        return []
    lower = figure in LOWER_IS_BETTER
    name, best = (min if lower else max)(nearest.items(), key=lambda pair: pair[1].mean)
    bound = best.mean + (best.deviation if lower else -best.deviation)
    return [Verdict(source.name, figure, spread(ours, figure), bound, f"{name} {best.text()}")]
