"""What moves the weights: the optimiser, and how its learning rate goes from step to step."""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
)

from train.configuration.training import TrainingConfiguration
from train.fit.adam import LeanAdam

# OneCycleLR computes its turning points from the number of steps: with fewer, they fall together.
FEWEST_CYCLE_STEPS = 10


def adam(network: nn.Module, training: TrainingConfiguration) -> Optimizer:
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
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Linear)]
    decayed = set(map(id, weights))
    others = [parameter for parameter in network.parameters() if id(parameter) not in decayed]
    groups = [
        {"params": weights, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return LeanAdam(groups, learning_rate=training.learning_rate, decoupled=True)


def schedule(optimizer: Optimizer, configuration: TrainingConfiguration, steps: int) -> LRScheduler:
    """The schedule that the configuration names, to be stepped after every optimiser step.

    ``one_cycle`` rises for the first 30 % of the steps and then falls to nearly 0 (Smith and Topin,
    "Super-Convergence", 2018; two phases along a cosine); ``cosine`` falls from the start
    (Loshchilov and Hutter, "SGDR", 2017, without restarts); ``constant`` stays.

    Args:
        optimizer: whose parameter groups are driven.
        configuration: ``schedule`` and the highest ``learning_rate``.
        steps: number of optimiser steps in the whole training.
    """
    if configuration.schedule == "one_cycle" and steps >= FEWEST_CYCLE_STEPS:
        return OneCycleLR(optimizer, max_lr=configuration.learning_rate, total_steps=steps)
    if configuration.schedule == "constant":
        return ConstantLR(optimizer, factor=1.0, total_iters=0)
    return CosineAnnealingLR(optimizer, T_max=steps)
