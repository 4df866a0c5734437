"""What was seen while training: curves for the eye, rows for the terminal, a sentence for both."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from train.curves import Epoch
from train.fit import Fit

TRAIN_COLOUR, VALIDATION_COLOUR = "#0072b2", "#d55e00"  # Okabe and Ito: told apart by everyone
_QUIET = "#555555"
CURVE_COLUMNS = (
    "epoch",
    "learning rate",
    "training loss",
    "validation loss",
    "training {score}",
    "validation {score}",
    "",
)


def describe(fit: Fit) -> str:
    """What was seen, in two or three sentences: where the curves part, and the gap at the best."""
    best, last = fit.best, fit.history[-1]
    figures = (
        f"The best epoch is {best.number} of {len(fit.history)}: training loss "
        f"{best.train_loss:.4f}, validation loss {best.validation_loss:.4f} (gap {best.gap:.4f}), "
        f"validation {fit.score_name} {best.validation_score:.4g}."
    )
    return f"{_parting(fit, last)} {figures} {_ending(fit)}"


def _parting(fit: Fit, last: Epoch) -> str:
    tolerance = f"{100 * fit.configuration.training.parting_tolerance:g} %"
    if fit.parting_epoch is None:
        return (
            f"The curves do not part: up to the last epoch, {last.number}, the training loss never "
            f"fell by more than {tolerance} without the validation loss following."
        )
    parted = fit.history[fit.parting_epoch - 1]
    lowest = min(epoch.train_loss for epoch in fit.history[fit.parting_epoch :])
    return (
        f"The curves part at epoch {parted.number}: after it the training loss still fell from "
        f"{parted.train_loss:.4f} to {lowest:.4f}, while the validation loss never again improved "
        f"on its {parted.validation_loss:.4f} by more than {tolerance}."
    )


def _ending(fit: Fit) -> str:
    if fit.interrupted:
        return "Training was interrupted; the best epoch until then is kept."
    if fit.stopped_early:
        patience = fit.configuration.training.patience
        return f"Training stopped early, {patience} epochs after the best one, which is kept."
    return "Training ran to its end; the best epoch is kept."


def curve_columns(fit: Fit) -> tuple[str, ...]:
    """The headings of `curve_rows`."""
    return tuple(column.format(score=fit.score_name) for column in CURVE_COLUMNS)


def curve_rows(fit: Fit, most: int = 12) -> list[tuple[str, ...]]:
    """The training curves as rows of a table, headed by `curve_columns`.

    Args:
        fit: what was fitted.
        most: number of rows; the first, last, best and parting epoch are always among them, the
            rest are spread evenly. At least 4.
    """
    return [_row(fit, fit.history[number - 1]) for number in _shown_epochs(fit, max(most, 4))]


def _shown_epochs(fit: Fit, most: int) -> list[int]:
    epochs = len(fit.history)
    marked = {1, epochs, fit.best_epoch, fit.parting_epoch or epochs}
    shown = set(marked)
    # Wanted: the fullest even spread that still fits beside the marked epochs.
    for count in range(2, min(most, epochs) + 1):
        spread = {1 + round(step * (epochs - 1) / (count - 1)) for step in range(count)}
        if len(spread | marked) <= most:
            shown = spread | marked
    return sorted(shown)


def _row(fit: Fit, epoch: Epoch) -> tuple[str, ...]:
    marks = {"best": fit.best_epoch, "curves part": fit.parting_epoch}
    return (
        str(epoch.number),
        f"{epoch.learning_rate:.2e}",
        f"{epoch.train_loss:.4f}",
        f"{epoch.validation_loss:.4f}",
        f"{epoch.train_score:.4g}",
        f"{epoch.validation_score:.4g}",
        ", ".join(mark for mark, number in marks.items() if number == epoch.number),
    )


def draw_curves(fit: Fit, path: Path) -> None:
    """Draw loss and score of both splits over the epochs as a PNG file.

    The best epoch is marked by a line and a point, the epochs after the curves part by a shade.

    Args:
        fit: what was fitted.
        path: the file; its folder exists.
    """
    # A figure of its own, without pyplot: no window system, no state that others share.
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8.0, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        loss_axes, score_axes = figure.subplots(1, 2)
        regression = fit.network.task == "regression"
        loss_name = "squared error of the standardised target" if regression else "cross-entropy"
        _draw(loss_axes, fit, f"loss ({loss_name})", "loss")
        _spread_losses(loss_axes, fit)
        score = "rmse (target's own units)" if regression else "accuracy"
        _draw(score_axes, fit, score, "score")
        if not regression:
            _leave_out_the_rise(score_axes, fit)
        handles, labels = loss_axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        figure.savefig(path, dpi=150, metadata={"Software": None})


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
    for split, colour in (("train", TRAIN_COLOUR), ("validation", VALIDATION_COLOUR)):
        values = [getattr(epoch, f"{split}_{figure}") for epoch in fit.history]
        name = "training split" if split == "train" else "validation split"
        axes.plot(epochs, values, color=colour, linewidth=1.6, label=name)
    axes.axvline(fit.best_epoch, color=_QUIET, linewidth=1, linestyle="--", zorder=0)
    axes.plot(
        fit.best_epoch,
        getattr(fit.best, f"validation_{figure}"),
        marker="o",
        color=VALIDATION_COLOUR,
        markeredgecolor="white",
        linestyle="--",
        label=f"best epoch: {fit.best_epoch}",
    )
    if fit.parting_epoch is not None:
        axes.axvspan(
            fit.parting_epoch,
            epochs[-1],
            color=_QUIET,
            alpha=0.12,
            linewidth=0,
            zorder=0,
            label=f"parted, after epoch {fit.parting_epoch}",
        )
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
