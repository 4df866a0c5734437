"""The picture of a study: what mattered, and the loss over each setting."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from lockstep_train.report.drawing import (
    BLUE,
    GREEN,
    QUIET,
    VERMILION,
    as_png,
    draw_grid,
    new_figure,
    plot_style,
)
from lockstep_train.tune.result.tuning import Attempt, Tuning
from lockstep_train.tune.space.dimension import Choice, Dimension, Ladder, Range

TRIAL_COLOUR, BEST_COLOUR, GIVEN_COLOUR = BLUE, VERMILION, GREEN
COLUMNS = 4
WORST_SHARE = 0.9
"""The losses beyond this share of the trials are drawn at the upper edge: they press the rest."""


def draw_study(tuning: Tuning) -> bytes:
    """Draw what mattered, and the loss of every finished trial over each setting, as a PNG.

    The most important setting comes first; its panel says in which direction it helped.
    """
    order = [influence.name for influence in tuning.influences]
    dimensions = sorted(
        tuning.space.dimensions,
        key=lambda dimension: order.index(dimension.name) if dimension.name in order else 1000,
    )
    panels = len(dimensions) + bool(tuning.influences)
    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    with plot_style():
        figure = new_figure(3.2 * columns, 2.7 * rows + 0.5)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        if tuning.influences:
            _draw_influences(axes.pop(0), tuning)
        for panel, dimension in zip(axes, dimensions, strict=False):
            _draw_slice(panel, tuning, dimension)
        for panel in axes[len(dimensions) :]:
            panel.set_axis_off()
        drawn = {
            label: handle
            for panel in axes[: len(dimensions)]
            for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            list(drawn.values()), list(drawn), loc="outside upper center", ncols=3, frameon=False
        )
        return as_png(figure)


def _draw_influences(axes: Axes, tuning: Tuning) -> None:
    influences = tuning.influences[::-1]
    names = [influence.name.split(".")[-1] for influence in influences]
    shares = [100 * influence.share for influence in influences]
    axes.barh(names, shares, color=TRIAL_COLOUR)
    axes.set(xlabel="share of what mattered, %")
    axes.set_title("what mattered", fontsize=9, color=QUIET)
    axes.tick_params(axis="y", labelsize=8)


def _draw_slice(axes: Axes, tuning: Tuning, dimension: Dimension) -> None:
    finished = tuning.ranked
    losses = np.array([attempt.loss for attempt in finished])
    ceiling = float(np.quantile(losses, WORST_SHARE)) if len(losses) >= 10 else float(losses.max())
    places = np.array([_place(dimension, attempt) for attempt in finished], dtype=float)
    axes.scatter(
        places,
        np.minimum(losses, ceiling),
        s=18,
        color=TRIAL_COLOUR,
        alpha=0.6,
        linewidth=0,
        label="trial",
    )
    for attempt, colour, label in (
        (tuning.given, GIVEN_COLOUR, "as given"),
        (tuning.best, BEST_COLOUR, "best"),
    ):
        if attempt is not None and attempt.loss is not None:
            axes.scatter(
                _place(dimension, attempt),
                min(attempt.loss, ceiling),
                s=50,
                color=colour,
                edgecolor="white",
                label=label,
                zorder=3,
            )
    _scale(axes, dimension)
    direction = next((i.direction for i in tuning.influences if i.name == dimension.name), "")
    axes.set(xlabel=dimension.name, ylabel="loss")
    axes.set_title(direction, fontsize=9, color=QUIET)
    draw_grid(axes)


def _place(dimension: Dimension, attempt: Attempt) -> float:
    """Where a trial lies on the axis of a setting."""
    stored = attempt.point[dimension.name]
    if isinstance(dimension, Choice):
        return float([dimension.stored(value) for value in dimension.values].index(str(stored)))
    return float(stored)


def _scale(axes: Axes, dimension: Dimension) -> None:
    if isinstance(dimension, Range):
        if dimension.log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        return
    words = [
        str(dimension.stored(value)) if isinstance(dimension, Choice) else str(value)
        for value in dimension.values
    ]
    tilted = isinstance(dimension, Ladder) or max(map(len, words)) < 9
    axes.set_xticks(range(len(words)), words, rotation=0 if tilted else 20, fontsize=8)
    axes.set_xlim(-0.5, len(words) - 0.5)
