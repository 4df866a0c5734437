"""The schedule: how the learning rate goes from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch.optim import Optimizer

from lockstep_train.configuration.training import TrainingConfiguration

FEWEST_CYCLE_STEPS = 10
"""A cycle's turning points come from the number of steps: with fewer, they fall together."""

RISING_SHARE = 0.3
FIRST_RATE, LAST_RATE = 1 / 25, 1 / 25 / 1e4
"""Shares of the highest learning rate."""
LEAST_MOMENTUM, MOST_MOMENTUM = 0.85, 0.95


class Setting(NamedTuple):
    """What a step is taken with.

    Attributes:
        rate: the learning rate.
        momentum: Adam's first beta; None where it stays what it is.
    """

    rate: float
    momentum: float | None = None


class Schedule:
    """Gives an optimiser the setting of each step, which comes from the step's number alone.

    torch's own schedulers do the same and more, but take ten times as long: for a network of few
    weights that is a fortieth of a step.

    Args:
        optimizer: whose parameter groups are driven, by Adam.
        setting_of: the setting of a step, by its number from 0.
    """

    def __init__(self, optimizer: Optimizer, setting_of: Callable[[int], Setting]) -> None:
        self._optimizer = optimizer
        self._setting_of = setting_of
        self._take(0)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self._setting_of(self._number).rate

    def step(self) -> None:
        """Go on, after an optimiser step."""
        self._take(self._number + 1)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps taken."""
        return {"steps": self._number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self._take(state["steps"])

    def _take(self, number: int) -> None:
        self._number = number
        rate, momentum = self._setting_of(number)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
            if momentum is not None:
                group["betas"] = (momentum, group["betas"][1])


def schedule(optimizer: Optimizer, configuration: TrainingConfiguration, steps: int) -> Schedule:
    """The schedule that the configuration names, to be stepped after every optimiser step.

    ``one_cycle`` rises for the first 30 % of the steps and then falls to nearly 0, while the
    momentum falls and rises (Smith and Topin, "Super-Convergence", 2018; two phases along a cosine,
    as `torch.optim.lr_scheduler.OneCycleLR`); ``cosine`` falls from the start (Loshchilov and
    Hutter, "SGDR", 2017, without restarts); ``constant`` stays.

    Args:
        optimizer: whose parameter groups are driven.
        configuration: ``schedule`` and the highest ``learning_rate``.
        steps: number of optimiser steps in the whole training.
    """
    highest = configuration.learning_rate
    if configuration.schedule == "constant":
        return Schedule(optimizer, lambda _: Setting(highest))
    if configuration.schedule == "one_cycle" and steps >= FEWEST_CYCLE_STEPS:
        return Schedule(optimizer, lambda number: one_cycle(highest, steps, number))
    return Schedule(optimizer, lambda number: cosine(highest, steps, number))


def one_cycle(highest: float, steps: int, number: int) -> Setting:
    """The setting of a step of one cycle.

    Args:
        highest: learning rate, where the rise ends.
        steps: of the whole training.
        number: of the step, from 0; beyond the last it stays.
    """
    top, last = RISING_SHARE * steps - 1, steps - 1
    first, lowest = highest * FIRST_RATE, highest * LAST_RATE
    if number <= top:
        share = number / top
        return Setting(
            _between(first, highest, share), _between(MOST_MOMENTUM, LEAST_MOMENTUM, share)
        )
    share = min(1.0, (number - top) / (last - top))
    return Setting(_between(highest, lowest, share), _between(LEAST_MOMENTUM, MOST_MOMENTUM, share))


def cosine(highest: float, steps: int, number: int) -> Setting:
    """The setting of a step that falls from the highest learning rate towards 0.

    Args:
        highest: learning rate, of the first step.
        steps: of the whole training.
        number: of the step, from 0; beyond the last it stays.
    """
    return Setting(_between(highest, 0.0, min(1.0, number / steps)))


def _between(start: float, end: float, share: float) -> float:
    """From the start to the end along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
