"""The network that every torch arm trains, of torch's own layers."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from benchmarks.training.cases import DROPOUT, Case


def network_of(case: Case) -> nn.Sequential:
    """Blocks of Linear, BatchNorm1d, ReLU and Dropout, and a head."""
    layers: list[nn.Module] = []
    for n_inputs, n_units in pairwise((case.features, *case.hidden)):
        layers += [nn.Linear(n_inputs, n_units), nn.BatchNorm1d(n_units), nn.ReLU()]
        layers += [nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(case.hidden[-1], case.classes))
