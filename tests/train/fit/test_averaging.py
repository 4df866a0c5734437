import dataclasses

import pytest
import torch

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import loss_and_score
from lockstep_train.fit.averaging import WeightAverage
from lockstep_train.fit.fit import fit
from lockstep_train.fit.tensors import SplitTensors
from lockstep_train.network.digest import state_digest
from lockstep_train.network.network import Network


@pytest.fixture(scope="module")
def wine():
    return built_in("wine", 0)


def configured(**training):
    return Configuration.model_validate(
        {
            "network": {"hidden": (16, 8), "members": 2},
            "training": {"epochs": 6, "threads": 1, **training},
        }
    )


def networks(dataset, count):
    """Networks of one shape with other weights and statistics each."""
    for seed in range(count):
        torch.manual_seed(seed)
        network = Network.of(configured(), dataset)
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 2)
        yield network


@pytest.mark.parametrize("decay", [0.1, 0.9])
def test_the_average_keeps_its_share_of_weights_and_statistics(wine, decay):
    with torch.random.fork_rng(devices=[]):
        live, *newer = networks(wine, 5)
    expected = {name: value.double() for name, value in live.state_dict().items()}
    average = WeightAverage(live, decay)
    for step, newest in enumerate(newer, start=1):
        live.load_state_dict(newest.state_dict())
        average.update()
        share = min(decay, (1 + step) / (10 + step))
        for name, value in newest.state_dict().items():
            expected[name] = share * expected[name] + (1 - share) * value.double()
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_the_averaged_network_is_the_one_that_is_measured_and_kept(wine):
    done = fit(configured(average=0.9), wine)
    plain = fit(configured(), wine)
    assert state_digest(done.network) != state_digest(plain.network)
    rows = SplitTensors.of(wine.validation, done.network)
    loss, score = loss_and_score(done.network, rows.features, rows.targets)
    assert (loss, score) == (done.best.validation_loss, done.best.validation_score)
    assert not any(module.training for module in done.network.modules())
    assert all(parameter.requires_grad for parameter in done.network.parameters())


def test_averaging_does_not_touch_what_is_learned(wine):
    """With next to no memory the average is the newest network, so the curves must agree."""
    forgetful, plain = fit(configured(average=1e-12), wine), fit(configured(), wine)
    for one, other in zip(forgetful.history, plain.history, strict=True):
        expected = dataclasses.replace(other, seconds=one.seconds)
        assert dataclasses.asdict(one) == pytest.approx(dataclasses.asdict(expected), rel=1e-4)


def test_a_short_training_forgets_the_weights_that_it_began_with(wine):
    done = fit(configured(average=0.9999, learning_rate=0.02, batch_size=16), wine)
    assert done.best.validation_score > 0.8
