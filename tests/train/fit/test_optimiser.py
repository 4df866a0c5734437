import pytest
import torch

from train.configuration.training import TrainingConfiguration
from train.fit.optimiser import schedule


def rates(name, steps):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.1, fused=True)
    configuration = TrainingConfiguration(schedule=name, learning_rate=0.1)
    scheduled = schedule(optimizer, configuration, steps)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduled.step()
    return seen


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
