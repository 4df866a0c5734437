"""The learner: the network, and everything that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.fit.averaging import WeightAverage
from lockstep_train.fit.device.device import Device
from lockstep_train.fit.loss import Loss, loss_of
from lockstep_train.fit.optimiser.adam import TorchAdam
from lockstep_train.fit.optimiser.choice import optimiser_of
from lockstep_train.fit.randomness import Batches, RandomStream
from lockstep_train.fit.schedule import Schedule, schedule
from lockstep_train.fit.tensors import SplitTensors
from lockstep_train.network.network import Network

BATCHES_TAKEN, BYTES_TAKEN = 64, 2**24
"""How much is taken from the rows at once, at most: to gather each batch alone costs more."""


@dataclass(frozen=True)
class Learner:
    """The network, and everything that changes it.

    Attributes:
        network: what learns.
        module: what a step runs: the network, or what the device wrapped around it.
        average: of the network's weights, where the configuration wants one.
        loss: what is learned from.
        optimizer: moves the parameters.
        schedule: moves the learning rate.
        gradient_clip: largest norm of a step's gradient; 0: no bound.
        max_norm: largest norm of a unit's weights; 0: no bound.
        batches: the order of the rows.
        masks: the draws of the network's layers.
        device: where it happens.
    """

    network: Network
    module: nn.Module
    average: WeightAverage | None
    loss: Loss
    optimizer: TorchAdam
    schedule: Schedule
    gradient_clip: float
    max_norm: float
    batches: Batches
    masks: RandomStream
    device: Device

    @classmethod
    def of(
        cls,
        network: Network,
        configuration: Configuration,
        rows: int,
        masks: RandomStream,
        device: Device,
    ) -> Self:
        """A learner that has learned nothing.

        Args:
            network: untrained, and changed from now on.
            configuration: how it is trained.
            rows: number of training rows.
            masks: the stream that the network's weights were drawn from.
            device: where it is trained.

        Raises:
            InvalidSetting: there are fewer training rows than processes.
        """
        training = configuration.training
        network.to(device.torch_device)
        average = WeightAverage(network, training.average) if training.average else None
        module = device.wrap(network)
        optimizer = optimiser_of(network, training)
        batches = _batches(configuration, rows, device)
        return cls(
            network=network,
            module=module,
            average=average,
            loss=loss_of(network.task, training),
            optimizer=optimizer,
            schedule=schedule(optimizer, training, steps=training.epochs * len(batches)),
            gradient_clip=training.gradient_clip,
            max_norm=configuration.network.max_norm,
            batches=batches,
            masks=masks if device.leads else _masks_of_rank(training.seed, device),
            device=device,
        )

    @property
    def measured(self) -> Network:
        """The network whose answers count: the averaged one where there is one."""
        return self.network if self.average is None else self.average.network

    def batches_of(self, rows: SplitTensors) -> Iterator[tuple[SplitTensors, int]]:
        """This process's rows of each batch, and how many rows it has in all processes."""
        batches = iter(self.batches)
        row_bytes = rows.features.shape[1] * rows.features.itemsize
        together = min(BYTES_TAKEN // (row_bytes * self.batches.largest), BATCHES_TAKEN)
        while several := list(islice(batches, max(1, together))):
            mine = [self.device.share(batch) for batch in several]
            taken = rows.take(torch.cat(mine).to(rows.features.device))
            yield from zip(taken.split([*map(len, mine)]), map(len, several), strict=True)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the steps to come; all processes call it together."""
        masks = self.masks.state_dict()
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "batches": self.batches.state_dict(),
            "masks": {
                name: None if state is None else self.device.gathered(state)
                for name, state in masks.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.batches.load_state_dict(state["batches"])
        self.masks.load_state_dict(
            {
                name: None if states is None else states[self.device.rank]
                for name, states in state["masks"].items()
            }
        )


def _masks_of_rank(seed: int, device: Device) -> RandomStream:
    """Another stream for each further process: the same masks everywhere would be fewer masks."""
    drawn = np.random.SeedSequence((seed, device.rank)).generate_state(1)
    return RandomStream(int(drawn[0]), device.torch_device)


def _batches(configuration: Configuration, rows: int, device: Device) -> Batches:
    training = configuration.training
    if min(rows, training.batch_size) < device.ranks:
        raise InvalidSetting(
            f"Each of the {device.ranks} processes must get a row of every batch, however there "
            f"are {rows} training rows in batches of {training.batch_size}: start fewer processes, "
            "or take larger batches."
        )
    return Batches(
        rows,
        training.batch_size,
        seed=training.seed,
        fewest=max(device.ranks, 2 if configuration.network.batch_norm else 1),
    )
