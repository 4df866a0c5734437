"""Lockstep's own epoch, with the defaults of a fit: clipped gradients and a schedule included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from benchmarks.training.cases import DROPOUT, LEARNING_RATE, Case
from benchmarks.training.lap import Lap
from lockstep.artifact.columns import describe_columns
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.fit.device.choice import device_of
from lockstep_train.fit.fit import train_epoch
from lockstep_train.fit.learner import Learner
from lockstep_train.fit.optimiser.adam import TorchAdam
from lockstep_train.fit.optimiser.choice import optimiser_of
from lockstep_train.fit.randomness import RandomStream
from lockstep_train.fit.schedule import schedule
from lockstep_train.fit.tensors import FitTensors
from lockstep_train.fit.threads import computing_with, threads_for
from lockstep_train.network.network import Network


def train(case: Case, lap: Lap, optimiser: type[TorchAdam] | None = None) -> None:
    """Train for as many epochs as are asked for.

    Args:
        case: what is trained on.
        lap: waits to be asked, and times.
        optimiser: another one than a fit would take.
    """
    configuration = Configuration.model_validate(
        {
            "network": {
                "hidden": case.hidden,
                "dropout": (DROPOUT,) * len(case.hidden),
                "input_dropout": 0.0,
            },
            "training": {
                "batch_size": case.batch_size,
                "learning_rate": LEARNING_RATE,
                "device": "cpu",
                "threads": torch.get_num_threads(),
                "epochs": 10_000,
            },
        }
    )
    dataset = _dataset(case)
    device, masks = device_of(configuration.training), RandomStream(0)
    with masks.drawn():
        network = Network.of(configuration, dataset)
    with computing_with(threads_for(configuration.training, network)):
        parts = FitTensors.of(dataset, network, configuration.training, device.torch_device)
        learner = Learner.of(network, configuration, len(parts.train), masks, device)
        if optimiser is not None:
            learner = _moved_by(optimiser, learner, configuration.training)
        while True:
            with lap:
                train_epoch(learner, parts.train)


def _moved_by(
    optimiser: type[TorchAdam], learner: Learner, training: TrainingConfiguration
) -> Learner:
    optimizer = optimiser_of(learner.network, training, optimiser)
    steps = training.epochs * len(learner.batches)
    return replace(learner, optimizer=optimizer, schedule=schedule(optimizer, training, steps))


def _dataset(case: Case) -> Dataset:
    features, targets = case.data()
    names = tuple(f"x{j}" for j in range(case.features))
    held_out = Split(features[:100], targets[:100])
    return Dataset(
        name=case.name,
        task="classification",
        columns=describe_columns(names, features),
        classes=tuple(np.arange(case.classes).tolist()),
        target_name="class",
        train=Split(features, targets),
        validation=held_out,
        test=held_out,
    )
