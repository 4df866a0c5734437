"""scikit-learn's MLPClassifier of the same widths: neither BatchNorm nor Dropout."""

from __future__ import annotations

from sklearn.neural_network import MLPClassifier

from benchmarks.training.cases import LEARNING_RATE, Case
from benchmarks.training.lap import Lap


def train(case: Case, lap: Lap) -> None:
    """Train for as many epochs as are asked for, in float32 as the others."""
    features, targets = case.data()
    classifier = MLPClassifier(
        case.hidden, batch_size=case.batch_size, learning_rate_init=LEARNING_RATE
    )
    classes = list(range(case.classes))
    while True:
        with lap:
            classifier.partial_fit(features, targets, classes=classes)
