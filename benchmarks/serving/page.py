"""The results for people, as Markdown."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving.measure import MOST_CONNECTIONS, STEADY_CONNECTIONS, Plan, Results
from benchmarks.serving.ratios import Ratio
from benchmarks.serving.servers import CASES, LOCKSTEP, Case
from lockstep.proof.certificate import this_machine
from lockstep_train.report.markdown import markdown_table

BEGIN = "<!-- benchmark: written by make bench -->"
END = "<!-- benchmark: end -->"
PACKAGES = ("uvicorn", "fastapi", "pydantic", "onnxruntime", "torch", "numpy")


def heading(plan: Plan) -> str:
    """Machine, date, versions and load, as one paragraph."""
    machine = this_machine(1)
    installed = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    wrk = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout.split()
    rounds = "one round" if plan.rounds == 1 else f"medians of {plan.rounds} interleaved rounds"
    return (
        f"{machine.processor}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}; "
        f"Python {machine.versions['python']}, {installed}, wrk {wrk[1]}. {rounds.capitalize()} of "
        f"{plan.seconds} s with {MOST_CONNECTIONS} connections, {plan.one_seconds} s with one, "
        f"{plan.seconds} s at a steady rate over {STEADY_CONNECTIONS}; one thread of load, "
        f"on the same cores."
    )


def table_of_servers(results: Results) -> str:
    """Requests a second, p50 with one connection, and p99 at the steady rate, for each case."""
    cases = [case for case in CASES if results.median(LOCKSTEP.name, case)]
    head = ["server", *(f"{case}: requests/s · p50 · p99" for case in cases)]
    rows = [[name, *(_cell(results, name, case) for case in cases)] for name in results.names()]
    return markdown_table(head, rows)


def _cell(results: Results, name: str, case: Case) -> str:
    figures = results.median(name, case)
    if figures is None:
        return "–"
    p99 = "–" if figures.steady_p99_ms is None else f"{figures.steady_p99_ms:.1f} ms"
    return f"{figures.rate:,.0f} · {figures.one_p50_ms:.2f} ms · {p99}"


def table_of_ratios(ratios: Iterable[Ratio]) -> str:
    """Each ratio with its bound."""
    return markdown_table(["ratio", "measured", "bound", ""], [ratio.cells() for ratio in ratios])


def write_between_markers(path: Path, text: str, *, begin: str = BEGIN) -> None:
    """Replace what stands between the markers of a page.

    Raises:
        ValueError: where the page has no such markers.
    """
    before, first, rest = path.read_text(encoding="utf-8").partition(begin)
    _, last, after = rest.partition(END)
    if not first or not last:
        raise ValueError(f"Expected {path} to hold the lines {begin} and {END}; write them there.")
    path.write_text(f"{before}{begin}\n{text}\n{END}{after}", encoding="utf-8")
