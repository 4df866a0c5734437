"""The results for people, as Markdown, and the bounds that training is held to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks.serving.ratios import Ratio
from benchmarks.training.cases import Case
from benchmarks.training.lap import Figures
from benchmarks.training.measure import (
    LIGHTNING,
    LOCKSTEP,
    PLAIN,
    SCIKIT_LEARN,
    SKORCH,
    WARM_UP,
    WITH_TORCH,
)
from lockstep.proof.certificate import this_machine
from lockstep_train.report.markdown import markdown_table

Results = Mapping[Case, Mapping[str, Figures]]

BOUNDS = {
    "Adult-sized": {PLAIN.name: 1.6, SKORCH.name: 2.0, LIGHTNING.name: 2.5},
    "digits-sized": {WITH_TORCH.name: 1.15, PLAIN.name: 1.3, SKORCH.name: 1.6, LIGHTNING.name: 2.0},
}
"""How many times as fast as the others an epoch must be.

Where torch's own AdamW comes within the first of them, `fit.optimiser.lean` is not worth
having, and goes.
"""

SHARES = {"Adult-sized": 1.0, "digits-sized": 1.5}
"""The share of scikit-learn's time that an epoch may take, with BatchNorm and Dropout."""


def ratios(results: Results) -> list[Ratio]:
    """Every ratio whose two sides were measured."""
    found = []
    for case, figures in results.items():
        ours = figures[LOCKSTEP.name].wall_s
        for name, bound in BOUNDS[case.name].items():
            if name in figures:
                what = f"{case.name}: speed × {name}"
                found.append(Ratio(what, figures[name].wall_s / ours, bound))
        if theirs := figures.get(SCIKIT_LEARN.name):
            what, bound = f"{case.name}: time × {SCIKIT_LEARN.name}", SHARES[case.name]
            found.append(Ratio(what, ours / theirs.wall_s, bound, at_most=True))
    return found


def page(results: Results, threads: int) -> str:
    """Machine and date, the table of times, the table of ratios, and what was missed."""
    found = ratios(results)
    missed = [" ".join(ratio.cells()[:3]) for ratio in found if not ratio.is_met]
    verdict = f"Missed: {'; '.join(missed)}." if missed else "Every bound is met."
    tables = (
        _times(results),
        markdown_table(["ratio", "measured", "bound", ""], map(Ratio.cells, found)),
    )
    return "\n\n".join((_heading(results, threads), *tables, verdict)) + "\n"


def _heading(results: Results, threads: int) -> str:
    machine = this_machine(threads)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "scikit-learn", "numpy"))
    rounds = " and ".join(f"{case.rounds} ({case.name})" for case in results)
    return (
        f"{machine.processor}, {datetime.now(UTC):%Y-%m-%d}; Python {machine.versions['python']}, "
        f"{packages}. Threads: {threads} each. Medians of {rounds} rounds, in which every "
        f"arm trains for one epoch in turn, after {WARM_UP} that do not count."
    )


def _times(results: Results) -> str:
    names = next(iter(results.values()))
    rows = [[name, *(_cell(figures[name]) for figures in results.values())] for name in names]
    return markdown_table(["ms an epoch · CPU ms", *map(str, results)], rows)


def _cell(figures: Figures) -> str:
    return f"{figures.wall_s * 1000:.1f} · {figures.cpu_s * 1000:.1f}"
