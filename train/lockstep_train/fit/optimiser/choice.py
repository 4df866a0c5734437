"""The choice of the optimiser, and of what it pulls to zero."""

from __future__ import annotations

from torch import nn

from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.fit.optimiser.adam import TorchAdam
from lockstep_train.fit.optimiser.flat import Flat
from lockstep_train.fit.optimiser.lean import LeanAdam


def optimiser_of(
    network: nn.Module, training: TrainingConfiguration, kind: type[TorchAdam] | None = None
) -> TorchAdam:
    """AdamW, or Adam with L2, over the network's parameters (`TrainingConfiguration.decay`).

    Args:
        network: what is moved; it lies where it will be trained.
        training: learning rate, decay, and what kind of decay it is.
        kind: `TorchAdam`, or `LeanAdam`, whose step is the same: by default where it can be taken.
            Of a small network's step, torch's own optimiser takes a third as much again
            (`benchmarks.training`).
    """
    if kind is None:
        kind = LeanAdam if Flat.can_hold(list(network.parameters())) else TorchAdam
    if training.decay == "l2":
        return kind(
            network.parameters(),
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            decoupled=False,
        )
    # Biases, BatchNorm's scale and shift, the embedding of a rare category, a frequency: pulled to
    # zero they regularise nothing.
    weights = [
        layer.weight for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv1d)
    ]
    decayed = set(map(id, weights))
    others = [parameter for parameter in network.parameters() if id(parameter) not in decayed]
    groups = [
        {"params": weights, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return kind(groups, learning_rate=training.learning_rate, decoupled=True)
