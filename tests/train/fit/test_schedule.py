import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.fit.schedule import schedule


def optimizer_of():
    parameters = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    return torch.optim.AdamW(parameters, lr=0.1)


def settings(scheduler_of, steps):
    """The rate and the betas of each group in each step."""
    optimizer = optimizer_of()
    scheduled = scheduler_of(optimizer)
    seen = []
    for _ in range(steps):
        seen.append([(group["lr"], *group["betas"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduled.step()
    return torch.tensor(seen, dtype=torch.float64)


def scheduled(name, steps, optimizer=None):
    configuration = TrainingConfiguration(schedule=name, learning_rate=0.1)
    return schedule(optimizer or optimizer_of(), configuration, steps)


def rates(name, steps):
    return settings(lambda optimizer: scheduled(name, steps, optimizer), steps)[:, 0, 0].tolist()


def test_one_cycle_rises_for_three_steps_in_ten_and_falls_to_nearly_nothing():
    seen = rates("one_cycle", 100)
    top = seen.index(max(seen))
    assert max(seen) == pytest.approx(0.1)
    assert 27 <= top <= 32
    assert seen[0] == pytest.approx(0.1 / 25)
    assert seen == sorted(seen[:top]) + sorted(seen[top:], reverse=True)
    assert seen[-1] < 1e-5


def test_cosine_falls_from_the_start():
    seen = rates("cosine", 50)
    assert seen[0] == pytest.approx(0.1)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 1e-3


def test_constant_stays():
    assert set(rates("constant", 20)) == {0.1}


@pytest.mark.parametrize("name", ["one_cycle", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 11])
def test_a_short_training_has_a_schedule_too(name, steps):
    assert all(0 < rate <= 0.1000001 for rate in rates(name, steps))


TORCHS = {
    "one_cycle": lambda optimizer, steps: OneCycleLR(optimizer, max_lr=0.1, total_steps=steps),
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
}


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
@given(steps=st.integers(10, 90))
def test_rates_and_betas_are_those_of_torchs_own_scheduler(name, steps):
    own = settings(lambda optimizer: TORCHS[name](optimizer, steps + 1), steps)
    ours = settings(lambda optimizer: scheduled(name, steps + 1, optimizer), steps)
    torch.testing.assert_close(ours, own, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["one_cycle", "cosine", "constant"])
def test_it_goes_on_from_the_number_of_its_step(name):
    whole, again = scheduled(name, 40), scheduled(name, 40)
    for _ in range(17):
        whole.step()
    again.load_state_dict(whole.state_dict())
    assert again.rate == whole.rate
    assert whole.state_dict() == {"steps": 17}


def test_it_drives_an_optimiser_whose_state_was_loaded():
    optimizer = optimizer_of()
    driven = scheduled("cosine", 9, optimizer)
    optimizer.load_state_dict(optimizer.state_dict())
    driven.step()
    assert [group["lr"] for group in optimizer.param_groups] == [driven.rate] * 2
    assert driven.rate < 0.1


@pytest.mark.parametrize("name", ["one_cycle", "cosine"])
def test_beyond_its_last_step_the_rate_stays(name):
    done = scheduled(name, 12)
    for _ in range(30):
        done.step()
    assert 0 <= done.rate < 1e-4
