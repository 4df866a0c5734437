"""What is learned from: the loss of a batch, and how much each of its rows counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.data.dataset import Dataset, LearningTask, Split

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Outputs ``[members, n, n_outputs]``, targets, weights ``[n]`` or None → the mean loss ``[]``."""


def loss_of(task: LearningTask, training: TrainingConfiguration) -> Loss:
    """The loss of a task: the mean over members, and over rows, of weight times loss.

    The weights are not divided by their sum in the batch: their mean over the training split is 1,
    so that every batch's gradient is an unbiased estimate of the whole split's.
    """
    if task == "regression":
        return squared_error
    return partial(cross_entropy, label_smoothing=training.label_smoothing)


def cross_entropy(
    outputs: Tensor, targets: Tensor, weights: Tensor | None, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy in nats of logits ``[members, n, n_classes]`` and indices ``[n]``.

    Args:
        outputs: logits, each member's own.
        targets: index of the right class.
        weights: how much a row counts ``[n]``; None where all do alike.
        label_smoothing: share of a label that is spread over all classes (Szegedy et al. 2016).
    """
    members, rows, _ = outputs.shape
    logits = outputs.flatten(0, 1)
    if members > 1:
        targets = targets.repeat(members)
    if weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    losses = functional.cross_entropy(
        logits, targets, reduction="none", label_smoothing=label_smoothing
    )
    return (losses.view(members, rows) * weights).mean()


def squared_error(outputs: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Mean squared error of predictions ``[members, n, 1]`` and targets ``[n, 1]``, standardised.

    Args:
        outputs: predictions, each member's own.
        targets: the standardised target.
        weights: how much a row counts ``[n]``; None where all do alike.
    """
    losses = (outputs - targets).square()
    return losses.mean() if weights is None else (losses * weights.unsqueeze(1)).mean()


def class_weights(dataset: Dataset, training: TrainingConfiguration) -> NDArray[np.float64] | None:
    """How much a row of each class counts ``[n_classes]``, or None where all do alike.

    ``balanced``: the inverse of the class's share of the training split, so that all classes
    together count alike (King and Zeng 2001); a class that the split lacks counts 1.

    Raises:
        InvalidSetting: where the target has no classes.
    """
    if training.class_weight == "none":
        return None
    if dataset.classes is None:
        raise InvalidSetting(
            f"training.class_weight = {training.class_weight!r} needs a target with classes, "
            f"however {dataset.target_name} is a number: leave the setting out."
        )
    counts = np.bincount(
        dataset.train.targets, weights=dataset.train.weights, minlength=len(dataset.classes)
    )
    present = counts > 0
    balanced = np.ones(len(counts))
    balanced[present] = counts.sum() / (present.sum() * counts[present])
    return balanced


def row_weights(split: Split, classes: NDArray[np.float64] | None) -> Tensor | None:
    """How much each row of a split counts, float32 ``[n]`` of mean 1; None where all do alike.

    Args:
        split: its own weights, if it has any, are multiplied by those of the classes.
        classes: what `class_weights` returned for the training split.

    Raises:
        InvalidSetting: no row counts.
    """
    if split.weights is None and classes is None:
        return None
    weights = np.ones(len(split)) if split.weights is None else split.weights.astype(np.float64)
    if classes is not None:
        weights = weights * classes[split.targets]
    total = weights.sum()
    if not total > 0:
        raise InvalidSetting(
            f"At least one of a split's {len(split)} rows must have a weight above 0: look at the "
            "column of weights, or split otherwise."
        )
    return torch.from_numpy((weights * (len(split) / total)).astype(np.float32))
