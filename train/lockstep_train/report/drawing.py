"""Drawing: one look for every plot, and figures that become part of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
"""Okabe and Ito: told apart by everyone."""

INK, QUIET = "#1b1c1d", "#777879"
_PAGE_COLOURS = {INK: "currentColor", BLUE: "var(--blue)", VERMILION: "var(--vermilion)"}
# Several plots share a page: a name that nothing refers to would occur twice on it, and a rule for
# everything would reach beyond the plot.
_NOT_FOR_A_PAGE = re.compile(
    r'(?<=<g) id="[^"]*"|<style.*?</style>|<metadata>.*?</metadata>', re.DOTALL
)


@contextmanager
def plot_style(salt: str = "") -> Iterator[None]:
    """The look of every plot; the salt keeps the names within one plot apart from another's."""
    settings: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    # Without pyplot: no window system, no state that others share.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def as_svg(figure: Figure) -> str:
    """The figure as an element that scales, takes the page's text colour and names no part."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, dpi=150, metadata=nothing)
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for colour, on_the_page in _PAGE_COLOURS.items():
        drawn = drawn.replace(colour, on_the_page)
    drawn = re.sub(r' (?:width|height)="[\d.]+pt"', "", drawn, count=2)
    drawn = drawn.replace("<svg", f'<svg style="max-width: {figure.get_figwidth() * 6:g}rem"', 1)
    return _NOT_FOR_A_PAGE.sub("", drawn).strip()


def draw_grid(axes: Axes) -> None:
    """Lines to read values by, behind what is drawn."""
    axes.grid(visible=True, color=QUIET, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
