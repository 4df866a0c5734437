"""Metrics: how good answers are, in the figures that scikit-learn and the literature define."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    recall_score,
    roc_auc_score,
)

from lockstep.errors import InvalidSetting

Targets = NDArray[Any]

RELIABILITY_BINS = 15
"""Bins of equal width, as Guo et al. 2017 take them."""


@dataclass(frozen=True)
class ClassificationMetrics:
    """Measured on one split in eval mode; weighted by the rows' weights where there are any.

    Attributes:
        rows: how many rows were measured; a row of weight 0 is none.
        accuracy: share of the rows whose most probable class is the right one.
        balanced_accuracy: share of each class's rows that is answered right, averaged with equal
            weight over the classes that occur.
        log_loss: mean negative log probability of the right class, in nats.
        macro_f1: F1 of each class that occurs or is predicted, averaged with equal weight.
        roc_auc: area under the ROC curve of the second of two classes; with more of them, of each
            class that occurs against the rest, averaged with equal weight. None where only one
            class occurs.
        brier: mean squared distance of the probabilities from the truth (Brier 1950); of two
            classes only one is counted, so that it lies between 0 and 1.
        ece: expected calibration error: how far the most probable class's probability lies from
            the share of right answers, averaged over the rows of 15 bins of equal width (Guo et
            al. 2017).
    """

    rows: int
    accuracy: float
    balanced_accuracy: float
    log_loss: float
    macro_f1: float
    roc_auc: float | None
    brier: float
    ece: float

    def as_dict(self) -> dict[str, float]:
        """The figures by name, without those that are undefined."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class RegressionMetrics:
    """Measured on one split in eval mode, in the target's own unit; weighted where rows are.

    Attributes:
        rows: how many rows were measured; a row of weight 0 is none.
        rmse: root of the mean squared error.
        mae: mean absolute error.
        r2: share of the target's variance that is explained; None where the split has no variance.
    """

    rows: int
    rmse: float
    mae: float
    r2: float | None

    def as_dict(self) -> dict[str, float]:
        """The figures by name, without those that are undefined."""
        return {name: value for name, value in asdict(self).items() if value is not None}


Metrics = ClassificationMetrics | RegressionMetrics


@dataclass(frozen=True)
class Reliability:
    """Confidence against success, in bins of equal width (Guo et al. 2017).

    The confidence is the most probable class's probability.

    Attributes:
        confidence: mean of each bin, ``[15]``; 0 where the bin is empty.
        accuracy: share of right answers in each bin, ``[15]``; 0 where the bin is empty.
        share: of the rows (their weights) in each bin, ``[15]``; adds up to 1.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """The expected calibration error: the bins' distances, weighted by their shares."""
        return float(self.share @ np.abs(self.accuracy - self.confidence))


def reliability(
    probabilities: NDArray[np.float64], targets: Targets, weights: NDArray[Any] | None = None
) -> Reliability:
    """Sort rows into bins by their confidence.

    Args:
        probabilities: ``[n, n_classes]``.
        targets: ``[n]``, indices of the right classes.
        weights: ``[n]`` ≥ 0.
    """
    counts = np.ones(len(targets)) if weights is None else weights.astype(np.float64)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    # A bin holds its upper edge, not its lower one: 1 belongs to the last.
    place = np.clip(np.ceil(confidence * RELIABILITY_BINS).astype(int) - 1, 0, RELIABILITY_BINS - 1)
    mass, confident, correct = (
        np.bincount(place, weights=of_row, minlength=RELIABILITY_BINS)
        for of_row in (counts, counts * confidence, counts * right)
    )
    filled = np.where(mass > 0, mass, 1.0)
    return Reliability(confident / filled, correct / filled, mass / mass.sum())


def brier(
    probabilities: NDArray[np.float64], targets: Targets, weights: NDArray[Any] | None = None
) -> float:
    """Mean squared distance of ``[n, n_classes]`` probabilities from the truth; of two classes one.

    Args:
        probabilities: ``[n, n_classes]``.
        targets: ``[n]``, indices of the right classes.
        weights: ``[n]`` ≥ 0.
    """
    truth = np.eye(probabilities.shape[1])[targets]
    distance = np.square(probabilities - truth).sum(axis=1)
    halves = 2 if probabilities.shape[1] == 2 else 1
    return float(np.average(distance, weights=weights)) / halves


def log_loss(
    log_probabilities: NDArray[np.float64], targets: Targets, weights: NDArray[Any] | None = None
) -> float:
    """Mean negative log probability of the right class, in nats.

    From logs, because a probability that rounds to 0 has a log all the same.

    Args:
        log_probabilities: ``[n, n_classes]``.
        targets: ``[n]``, indices of the right classes.
        weights: ``[n]`` ≥ 0.
    """
    return float(np.average(-log_probabilities[np.arange(len(targets)), targets], weights=weights))


def classification_metrics(
    log_probabilities: NDArray[np.float64], targets: Targets, weights: NDArray[Any] | None = None
) -> ClassificationMetrics:
    """Every figure of a classification.

    Args:
        log_probabilities: ``[n, n_classes]``.
        targets: ``[n]``, indices of the right classes.
        weights: ``[n]`` ≥ 0; None where all rows count alike.

    Raises:
        InvalidSetting: all weights are 0.
    """
    log_probabilities, targets, weights = _counted(log_probabilities, targets, weights)
    probabilities = np.exp(log_probabilities)
    chosen = probabilities.argmax(axis=1)
    macro = {"average": "macro", "zero_division": 0, "sample_weight": weights}
    return ClassificationMetrics(
        rows=len(targets),
        accuracy=float(accuracy_score(targets, chosen, sample_weight=weights)),
        # balanced_accuracy_score warns where a class is predicted that does not occur.
        balanced_accuracy=float(recall_score(targets, chosen, labels=np.unique(targets), **macro)),
        log_loss=log_loss(log_probabilities, targets, weights),
        macro_f1=float(f1_score(targets, chosen, **macro)),
        roc_auc=_roc_auc(probabilities, targets, weights),
        brier=brier(probabilities, targets, weights),
        ece=reliability(probabilities, targets, weights).ece,
    )


def _roc_auc(
    probabilities: NDArray[np.float64], targets: Targets, weights: NDArray[Any] | None
) -> float | None:
    occurring = np.unique(targets)
    if len(occurring) < 2:
        return None
    measured = occurring if probabilities.shape[1] > 2 else [1]
    areas = [
        roc_auc_score(targets == index, probabilities[:, index], sample_weight=weights)
        for index in measured
    ]
    return float(np.mean(areas))


def regression_metrics(
    predicted: NDArray[np.float64], targets: Targets, weights: NDArray[Any] | None = None
) -> RegressionMetrics:
    """Every figure of a regression.

    Args:
        predicted: ``[n]``, in the target's own unit.
        targets: ``[n]``.
        weights: ``[n]`` ≥ 0; None where all rows count alike.

    Raises:
        InvalidSetting: all weights are 0.
    """
    predicted, targets, weights = _counted(predicted, targets.astype(np.float64), weights)
    squares = mean_squared_error(targets, predicted, sample_weight=weights)
    varies = bool(np.ptp(targets) > 0)
    return RegressionMetrics(
        rows=len(targets),
        rmse=float(squares) ** 0.5,
        mae=float(mean_absolute_error(targets, predicted, sample_weight=weights)),
        r2=float(r2_score(targets, predicted, sample_weight=weights)) if varies else None,
    )


def _counted(
    answers: NDArray[np.float64], targets: Targets, weights: NDArray[Any] | None
) -> tuple[NDArray[np.float64], Targets, NDArray[Any] | None]:
    """The rows that count at all: those of weight 0 would still make a class occur."""
    if weights is None:
        return answers, targets, None
    counted = weights > 0
    if not counted.any():
        raise InvalidSetting(
            f"Expected a weight above 0 among the {len(weights)} rows that are measured, got only "
            "zeros; check data.weight, or split the rows anew."
        )
    return answers[counted], targets[counted], weights[counted].astype(np.float64)
