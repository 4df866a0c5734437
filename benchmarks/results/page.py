"""The results for people, as Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from benchmarks.results.bounds import Spread, Verdict, label, main_figure, spread, verdicts
from benchmarks.results.runs import PACKAGES, Group, Run
from benchmarks.results.served import LOCKSTEP
from benchmarks.results.sources import Source
from lockstep.proof.certificate import this_machine
from lockstep_train.report.markdown import markdown_table

CLASSIFICATION = ("accuracy", "roc_auc", "log_loss", "ece")
REGRESSION = ("rmse", "mae", "r2")
TENTH = 0.1


@dataclass(frozen=True)
class Results:
    """Everything that was measured of a data set.

    Attributes:
        source: the data set.
        runs: by group, then by arm, in the order of the seeds.
    """

    source: Source
    runs: dict[Group, dict[str, list[Run]]] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        """Add a run behind those of the same arm."""
        self.runs.setdefault(run.group, {}).setdefault(run.arm, []).append(run)

    @property
    def models(self) -> dict[str, list[Run]]:
        """The runs of Lockstep, then those of the peers, by name."""
        return {**self.runs.get("lockstep", {}), **self.runs.get("peer", {})}

    @property
    def ours(self) -> list[Run]:
        """The runs of Lockstep, in the order of the seeds."""
        return self.runs.get("lockstep", {}).get(LOCKSTEP, [])

    @property
    def verdicts(self) -> list[Verdict]:
        """The data set's bounds."""
        return verdicts(self.source, self.models)

    def all(self) -> Iterator[Run]:
        """Every run of every arm."""
        for arms in self.runs.values():
            for runs in arms.values():
                yield from runs


def page(measured: Sequence[Results], absent: Sequence[str]) -> str:
    """The machine, the bounds, a table a data set, and the ablations.

    Args:
        measured: data sets of which there is a run.
        absent: a sentence for each data set that could not be measured.
    """
    found = [verdict.cells() for results in measured for verdict in results.verdicts]
    parts = [_heading(measured), *absent]
    if found:
        parts.append(markdown_table(["data", "figure", LOCKSTEP, "bound", ""], found))
    parts += _differences(measured)
    parts += _precision(measured)
    for results in measured:
        if results.models:
            parts += [f"### {results.source.name}", f"{_sentence(results.source.protocol)}"]
            parts += [_models(results), *_complaints(results)]
    ablations = [results for results in measured if results.runs.get("ablation")]
    if ablations:
        parts.append("## Without each regulariser")
    for results in ablations:
        parts += [f"### {results.source.name}, ablation", _ablation(results)]
    return "\n\n".join(parts)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _heading(measured: Sequence[Results]) -> str:
    machine = this_machine(1)
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    days = sorted(run.created[:10] for results in measured for run in results.all())
    when = " to ".join(sorted({*days[:1], *days[-1:]})) or "nothing measured"
    return (
        f"{machine.processor}, {os.cpu_count()} cores, {when}; Python "
        f"{machine.versions['python']}, {packages}. Mean ± standard deviation between the seeds."
    )


def _differences(measured: Sequence[Results]) -> list[str]:
    """How far the files are from the networks that they were made of."""
    ours = [run for results in measured for run in results.ours]
    kinds = {
        "accuracy": "of a probability",
        "rmse": "of a prediction, in deviations of the target",
    }
    largest = {
        kind: max(run.facts["difference"] for run in ours if figure in run.figures)
        for figure, kind in kinds.items()
        if any(figure in run.figures for run in ours)
    }
    said = " and ".join(f"{value:.1e} {kind}" for kind, value in largest.items())
    if not said:
        return []
    sentence = (
        "Lockstep's figures are those of the exported ONNX file, run as the service runs it. Over "
        f"every test row of its {len(ours)} runs, the largest difference from the eager float32 "
        f"network is {said}."
    )
    return [sentence]


def _precision(measured: Sequence[Results]) -> list[str]:
    """What exact precision costs: the served figures against those of the float32 network."""
    rows = []
    for results in measured:
        ours = [run for run in results.ours if run.facts.get("precision") == "exact"]
        if len(ours) < 2:
            continue
        known = CLASSIFICATION if main_figure(ours) == "accuracy" else REGRESSION
        for figure in (name for name in known if all(name in run.figures for run in ours)):
            apart = max(abs(run.figures[figure] - run.facts["eager"][figure]) for run in ours)
            deviation = spread(ours, figure).deviation
            verdict = "met" if apart <= TENTH * deviation else "**missed**"
            name, cells = results.source.name, (f"{apart:.1e}", f"{deviation:.1e}", verdict)
            rows.append([name, label(figure), *cells])
    head = ["data", "figure", "largest difference, same seed", "deviation between seeds", "≤ 1/10"]
    sentence = "Exact precision, which is served, against the float32 network that was fitted:"
    return [sentence, markdown_table(head, rows)] if rows else []


def _models(results: Results) -> str:
    """A row a model: its figures, its runs, and how long a run took."""
    models = results.models
    every = [run for runs in models.values() for run in runs]
    known = CLASSIFICATION if main_figure(every) == "accuracy" else REGRESSION
    figures = [name for name in known if all(name in run.figures for run in every)]
    head = ["model", *map(label, figures), "runs", "CPU-seconds to fit"]
    rows = [
        [
            name,
            *(spread(runs, figure).text() for figure in figures),
            str(len(runs)),
            _seconds(runs),
        ]
        for name, runs in models.items()
    ]
    return markdown_table(head, rows)


def _seconds(runs: Sequence[Run]) -> str:
    fit = f"{_mean([run.seconds for run in runs]):.1f}"
    proofs = [run.facts["proof_s"] for run in runs if "proof_s" in run.facts]
    return f"{fit} (proof: {_mean(proofs):.1f})" if proofs else fit


def _mean(values: Sequence[float]) -> float:
    return Spread.of(values).mean


def _complaints(results: Results) -> list[str]:
    """A sentence for each peer that complained of its fit."""
    said = []
    for name, runs in results.runs.get("peer", {}).items():
        warned = [run for run in runs if run.facts["warnings"]]
        if warned:
            first = warned[0].facts["warnings"][0].strip().splitlines()[0].rstrip(".:")
            said.append(f"{name}, {len(warned)} of {len(runs)} runs: {first}.")
    return said


def _ablation(results: Results) -> str:
    """The whole network, then a row for each thing that was taken away, on the same seeds."""
    arms = results.runs["ablation"]
    main = main_figure(run for runs in arms.values() for run in runs)
    figures = (main, "log_loss" if main == "accuracy" else "mae")
    ours = results.ours
    whole = {run.seed: run.facts["eager"] for run in ours}
    seeds = {run.seed for runs in arms.values() for run in runs} & whole.keys()
    rows = []
    if seeds:
        full = {name: Spread.of([whole[seed][name] for seed in sorted(seeds)]) for name in figures}
        rows.append(["nothing", *(cell for name in figures for cell in (full[name].text(), ""))])
    for name, runs in arms.items():
        cells = [
            cell
            for figure in figures
            for cell in (spread(runs, figure).text(), _apart(runs, whole, figure))
        ]
        rows.append([name, *cells])
    head = [
        "without",
        *(cell for name in figures for cell in (label(name), "difference, same seed")),
    ]
    return markdown_table(head, rows)


def _apart(runs: Sequence[Run], whole: Mapping[int, Mapping[str, float]], figure: str) -> str:
    apart = [run.figures[figure] - whole[run.seed][figure] for run in runs if run.seed in whole]
    return Spread.of(apart).text("+") if apart else "–"
