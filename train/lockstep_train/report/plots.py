"""Plots: the training curves, reliability, residuals and the confusion of many classes.

No text that others wrote enters a plot: names and labels stand in tables, where they are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from lockstep_train.evaluate.metrics import Reliability
from lockstep_train.fit.fit import Fit
from lockstep_train.report.drawing import (
    BLUE,
    QUIET,
    VERMILION,
    as_png,
    as_svg,
    draw_grid,
    new_figure,
    plot_style,
)

SHOWN_POINTS = 20_000
"""Rows of a residual plot, at most: more of them only paint over each other."""


def draw_curves(fit: Fit) -> bytes:
    """Draw loss and score of both splits over the epochs as a PNG file.

    The best epoch is marked by a line and a point, the epochs after the curves part by a shade.
    """
    with plot_style():
        return as_png(_curves(fit))


def curves_svg(fit: Fit) -> str:
    """The same as an SVG element for a page, in the page's own text colour."""
    with plot_style("curves"):
        return as_svg(_curves(fit))


def reliability_svg(curves: Mapping[str, Reliability]) -> str:
    """Confidence against the share of right answers, above how many rows had that confidence.

    Args:
        curves: one or two, by what the legend calls them; the last is drawn in front.
    """
    with plot_style("reliability"):
        figure = new_figure(5.2, 5.2)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        above.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
        styles = (("s", "--", VERMILION), ("o", "-", BLUE))[-len(curves) :]
        for (name, curve), (marker, line, colour) in zip(curves.items(), styles, strict=True):
            filled = curve.share > 0
            above.plot(
                curve.confidence[filled],
                curve.accuracy[filled],
                marker=marker,
                linestyle=line,
                color=colour,
                markersize=5,
                label=f"{name}: ECE {curve.ece:.4f}",
            )
        last = list(curves.values())[-1]
        width = 1 / len(last.share)
        below.bar(np.arange(len(last.share)) * width, last.share, width, align="edge", color=BLUE)
        above.set(ylabel="share of right answers", xlim=(0, 1), ylim=(-0.02, 1.02))
        below.set(xlabel="probability of the most probable class", ylabel="share of rows")
        figure.legend(loc="outside upper center", frameon=False)
        for axes in (above, below):
            draw_grid(axes)
        return as_svg(figure)


def residuals_svg(predicted: NDArray[np.float64], targets: NDArray[Any]) -> str:
    """Predictions against the truth, beside the spread of their errors.

    Args:
        predicted: ``[n]``, in the target's own unit.
        targets: ``[n]``; of more than 20,000 rows some are drawn, evenly spread.
    """
    with plot_style("residuals"):
        figure = new_figure(8.0, 3.8)
        left, right = figure.subplots(1, 2)
        step = -(-len(targets) // SHOWN_POINTS)
        ends = [min(predicted.min(), targets.min()), max(predicted.max(), targets.max())]
        left.plot(ends, ends, color=QUIET, linewidth=1, linestyle="--")
        # As pixels: a page with a shape for each row would be slow to show.
        left.plot(
            targets[::step],
            predicted[::step],
            marker="o",
            linestyle="",
            markersize=3,
            color=BLUE,
            alpha=0.4,
            markeredgewidth=0,
            rasterized=True,
        )
        left.set(xlabel="true value", ylabel="prediction")
        residuals = predicted - targets
        right.hist(
            residuals,
            bins=min(60, 10 + len(targets) // 20),
            range=_spread(residuals, float(np.abs(ends).max())),
            color=BLUE,
        )
        right.axvline(0, color=QUIET, linewidth=1, linestyle="--")
        right.set(xlabel="prediction less true value", ylabel="rows")
        for axes in (left, right):
            draw_grid(axes)
        return as_svg(figure)


def _spread(residuals: NDArray[np.float64], size: float) -> tuple[float, float]:
    """Ends between which there is room for bins, even where all residuals are alike.

    Args:
        residuals: ``[n]``.
        size: of the numbers that they are differences of.
    """
    low, high = float(residuals.min()), float(residuals.max())
    margin = 0.0 if high - low > 1e-9 * size else 1e-3 * (size or 1.0)
    return low - margin, high + margin


def confusion_svg(shares: NDArray[np.float64]) -> str:
    """The confusion of many classes as a map of colours; the classes are counted from 0.

    Args:
        shares: ``[n_classes, n_classes]``, of each true class's rows (a row of the map) that were
            answered as each class.
    """
    with plot_style("confusion"):
        figure = new_figure(6.4, 5.4)
        axes = figure.subplots()
        paper_to_blue = LinearSegmentedColormap.from_list("paper to blue", ["#ffffff", BLUE])
        # A square root: one row in a hundred can still be seen.
        image = axes.imshow(
            np.sqrt(shares), cmap=paper_to_blue, vmin=0, vmax=1, interpolation="nearest"
        )
        bar = figure.colorbar(image, ticks=np.sqrt([0, 0.01, 0.1, 0.25, 0.5, 1]))
        bar.ax.set_yticklabels(["0", "1 %", "10 %", "25 %", "50 %", "100 %"])
        axes.set(xlabel="answered class", ylabel="true class")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=20))
        return as_svg(figure)


def _curves(fit: Fit) -> Figure:
    figure = new_figure(8.0, 3.6)
    loss_axes, score_axes = figure.subplots(1, 2)
    regression = fit.network.task == "regression"
    loss_name = "squared error of the standardised target" if regression else "cross-entropy"
    _draw(loss_axes, fit, f"loss ({loss_name})", "loss")
    _spread_losses(loss_axes, fit)
    _draw(score_axes, fit, "rmse (target's own unit)" if regression else fit.score_name, "score")
    if not regression:
        _leave_out_the_rise(score_axes, fit)
    handles, labels = loss_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


def _spread_losses(axes: Axes, fit: Fit) -> None:
    losses = [loss for epoch in fit.history for loss in (epoch.train_loss, epoch.validation_loss)]
    if min(losses) > 0 and max(losses) / min(losses) > 20:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _leave_out_the_rise(axes: Axes, fit: Fit) -> None:
    # The first epochs climb from chance: drawn in full they press the gap into a line.
    later = fit.history[len(fit.history) // 8 :]
    scores = [score for epoch in later for score in (epoch.train_score, epoch.validation_score)]
    margin = 0.05 * (max(scores) - min(scores)) or 0.05
    axes.set_ylim(min(scores) - margin, max(scores) + margin)


def _draw(axes: Axes, fit: Fit, label: str, figure: str) -> None:
    epochs = [epoch.number for epoch in fit.history]
    for split, colour, line in (("train", BLUE, "-"), ("validation", VERMILION, "-.")):
        values = [getattr(epoch, f"{split}_{figure}") for epoch in fit.history]
        name = "training split" if split == "train" else "validation split"
        axes.plot(epochs, values, color=colour, linestyle=line, linewidth=1.6, label=name)
    axes.axvline(fit.best_epoch, color=QUIET, linewidth=1, linestyle="--", zorder=0)
    axes.plot(
        fit.best_epoch,
        getattr(fit.best, f"validation_{figure}"),
        marker="o",
        color=VERMILION,
        markeredgecolor="white",
        linestyle="--",
        label=f"best epoch: {fit.best_epoch}",
    )
    if fit.parting_epoch is not None:
        axes.axvspan(
            fit.parting_epoch,
            epochs[-1],
            color=QUIET,
            alpha=0.15,
            linewidth=0,
            zorder=0,
            label=f"parted, after epoch {fit.parting_epoch}",
        )
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    draw_grid(axes)
