"""The training curves in words: rows for a table, and the sentences that say what was seen."""

from __future__ import annotations

from lockstep_train.fit.curves import Epoch
from lockstep_train.fit.fit import Fit

CURVE_COLUMNS = (
    "epoch",
    "learning rate",
    "training loss",
    "validation loss",
    "training {score}",
    "validation {score}",
    "",
)


def describe_curves(fit: Fit) -> str:
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
        f"on its {parted.validation_loss:.4f} by more than {tolerance}. What is learned after that "
        "epoch is over-fitting."
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
