"""skorch, as its documentation shows: a classifier around the module, batches by DataLoader."""

from __future__ import annotations

import torch
from skorch import NeuralNetClassifier

from benchmarks.training.arms.network import network_of
from benchmarks.training.cases import LEARNING_RATE, Case
from benchmarks.training.lap import Lap


def train(case: Case, lap: Lap) -> None:
    """Train for as many epochs as are asked for; without validation and without printing."""
    features, targets = case.data()
    classifier = NeuralNetClassifier(
        network_of(case),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=LEARNING_RATE,
        batch_size=case.batch_size,
        max_epochs=1,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    classifier.initialize()
    while True:
        with lap:
            classifier.partial_fit(features, targets)
