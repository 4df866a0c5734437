"""The results for people, as a chart."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.serving.measure import Results
from benchmarks.serving.servers import CASES, LOCKSTEP

OURS = "#1f6f8b"
OTHERS = "#b8b8b8"


def draw(results: Results, path: Path) -> None:
    """One panel a case: requests a second of each server, a gap where it does not answer."""
    cases = [case for case in CASES if results.median(LOCKSTEP.name, case)]
    names = results.names()[::-1]
    colours = [OURS if name.startswith(LOCKSTEP.name) else OTHERS for name in names]
    figure = Figure(figsize=(3.6 * len(cases) + 1.4, 1 + 0.3 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(cases), squeeze=False, sharey=True)[0]
    for panel, case in zip(panels, cases, strict=True):
        medians = [results.median(name, case) for name in names]
        rates = [figures.rate if figures else 0.0 for figures in medians]
        bars = panel.barh(names, rates, color=colours)
        labels = [f"{rate:,.0f}" if rate else "–" for rate in rates]
        panel.bar_label(bars, labels, padding=3, fontsize=8)
        panel.set_title(f"{case}: requests/s", fontsize=10)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.set_xticks([])
        panel.margins(x=0.18)
        panel.tick_params(labelsize=8, left=False)
    figure.savefig(path, dpi=150)
