"""The training curves, and the epoch at which they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One point of the training curves: both splits measured in eval mode after the epoch.

    Eval mode on both, because dropout raises the loss that is seen while learning and so hides the
    gap to the validation loss. Validation is measured whole; a training split of more than 5,000
    rows by two rows in five, at least 5,000 and at most 20,000, drawn once by the seed
    (`fit.tensors.curve_sample_size`). Rows count as they do in the loss that is learned from: by
    their own weights and by those of their classes, where there are any; labels are not smoothed.
    Where the weights are averaged, the averaged network is measured.

    Attributes:
        number: from 1.
        learning_rate: of the epoch's first step.
        train_loss: cross-entropy in nats, or mean squared error of the standardised target.
        validation_loss: the same on the validation split.
        train_score: accuracy (of balanced classes, where they are weighted so), or rmse in the
            target's own units.
        validation_score: the same on the validation split.
        seconds: the epoch took, both measurements included.
    """

    number: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    train_score: float
    validation_score: float
    seconds: float

    @property
    def gap(self) -> float:
        """Validation loss less training loss."""
        return self.validation_loss - self.train_loss


def parting_epoch(history: Sequence[Epoch], tolerance: float) -> int | None:
    """The number of the last epoch at which more training still helped rows that are not learned.

    That is the last epoch whose validation loss is below the best until then by more than the
    tolerance; small steps add up, so "the best until then" is the last one that counted. After it
    the curves part if the training loss still falls by more than the tolerance.

    The tolerance is a share of the loss: a training split that is nearly memorised has a loss so
    small that no absolute bound would see it fall, while its gap is at its widest.

    Args:
        history: the epochs in their order.
        tolerance: change that counts, as a share of the loss.

    Returns:
        None where training and validation loss stop falling together, or at the end.
    """
    if not history:
        return None
    counted = history[0]
    for epoch in history:
        if epoch.validation_loss < counted.validation_loss * (1 - tolerance):
            counted = epoch
    after = [epoch.train_loss for epoch in history if epoch.number > counted.number]
    still_falls = bool(after) and min(after) < counted.train_loss * (1 - tolerance)
    return counted.number if still_falls else None
