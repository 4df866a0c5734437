"""A plain loop over batches that were made before, with torch's default AdamW."""

from __future__ import annotations

import torch
from torch.nn import functional

from benchmarks.training.arms.network import network_of
from benchmarks.training.cases import LEARNING_RATE, Case
from benchmarks.training.lap import Lap


def train(case: Case, lap: Lap) -> None:
    """Train for as many epochs as are asked for."""
    features, targets = map(torch.from_numpy, case.data())
    batches = list(
        zip(features.split(case.batch_size), targets.split(case.batch_size), strict=True)
    )
    network = network_of(case)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    while True:
        with lap:
            for rows, classes in batches:
                optimizer.zero_grad()
                functional.cross_entropy(network(rows), classes).backward()
                optimizer.step()
