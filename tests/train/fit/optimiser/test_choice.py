"""One choice of the optimiser; torch's own is what ours is held to, step for step."""

from dataclasses import replace

import pytest
import torch

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.fit.device.device import Device
from lockstep_train.fit.fit import train_step
from lockstep_train.fit.learner import Learner
from lockstep_train.fit.optimiser.adam import TorchAdam
from lockstep_train.fit.optimiser.choice import optimiser_of
from lockstep_train.fit.optimiser.lean import LeanAdam
from lockstep_train.fit.randomness import RandomStream
from lockstep_train.fit.schedule import schedule
from lockstep_train.fit.tensors import FitTensors
from lockstep_train.network.network import Network

STEPS = 40


def learner_of(wine, kind, **training):
    """A learner with its stream of batches, moved by one kind of optimiser."""
    configuration = Configuration.model_validate(
        {"network": {"hidden": [16, 8]}, "training": {"batch_size": 16, "threads": 1, **training}}
    )
    masks = RandomStream(0)
    with masks.drawn():
        network = Network.of(configuration, wine.dataset)
    parts = FitTensors.of(wine.dataset, network, configuration.training, torch.device("cpu"))
    learner = Learner.of(network, configuration, len(parts.train), masks, Device())
    optimizer = optimiser_of(network, configuration.training, kind)
    driven = schedule(optimizer, configuration.training, STEPS)
    learner = replace(learner, optimizer=optimizer, schedule=driven)
    learner.module.train()
    return learner, endless(learner, parts.train)


def endless(learner, rows):
    while True:
        yield from learner.batches_of(rows)


def step(learner, batches):
    with learner.masks.drawn():
        return train_step(learner, *next(batches))


@pytest.mark.parametrize("decay", ["decoupled", "l2"])
@pytest.mark.parametrize("gradient_clip", [0.0, 0.1])
def test_ours_takes_the_steps_that_torchs_own_takes(decay, gradient_clip, wine):
    settings = {"decay": decay, "gradient_clip": gradient_clip, "learning_rate": 1e-2}
    ours, torchs = (learner_of(wine, kind, **settings) for kind in (LeanAdam, TorchAdam))
    for _ in range(STEPS):
        torch.testing.assert_close(step(*ours), step(*torchs), rtol=1e-4, atol=1e-5)
        weights = (learner.network.parameters() for learner, _ in (ours, torchs))
        for one, other in zip(*weights, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_torchs_own_goes_on_from_our_state(wine):
    ours, torchs = (learner_of(wine, kind) for kind in (LeanAdam, TorchAdam))
    for _ in range(5):
        step(*ours)
    torchs[0].load_state_dict(ours[0].state_dict())
    states = (each.optimizer.state_dict()["state"].values() for each, _ in (ours, torchs))
    for one, other in zip(*states, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_ours_is_taken_where_the_parameters_can_lie_together_and_torchs_elsewhere(wine):
    training = Configuration().training
    network = Network.of(Configuration(), wine.dataset)
    assert type(optimiser_of(network, training)) is LeanAdam
    assert type(optimiser_of(network.double(), training)) is TorchAdam
