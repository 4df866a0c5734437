"""What moves the weights: the optimiser, and which of them it pulls to zero."""

from __future__ import annotations

from torch import nn

from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.fit.adam import LeanAdam


def adam(network: nn.Module, training: TrainingConfiguration) -> LeanAdam:
    """AdamW, or Adam with L2, over the network's parameters (`TrainingConfiguration.decay`)."""
    if training.decay == "l2":
        return LeanAdam(
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
    return LeanAdam(groups, learning_rate=training.learning_rate, decoupled=True)
