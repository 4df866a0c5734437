import copy

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from train.fit.adam import LeanAdam


def network_of():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def groups_of(network):
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.5},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def pair_of(*, decoupled):
    """A network moved by the lean step, and its twin moved by torch's own."""
    network, twin = network_of(), network_of()
    lean = LeanAdam(groups_of(network), learning_rate=0.1, decoupled=decoupled)
    own = (AdamW if decoupled else Adam)(groups_of(twin), lr=0.1, fused=True)
    return (network, lean), (twin, own)


def step(network, optimizer, seed, *, rate=0.1):
    rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    network(rows).square().sum().backward()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


def are_equal(network, twin):
    return all(map(torch.equal, network.parameters(), twin.parameters()))


@pytest.mark.parametrize("decoupled", [True, False])
def test_its_bits_are_torchs(decoupled):
    lean, own = pair_of(decoupled=decoupled)
    for seed in range(6):
        step(*lean, seed, rate=0.1 / (seed + 1))
        step(*own, seed, rate=0.1 / (seed + 1))
    assert lean[1]._listed
    assert are_equal(lean[0], own[0])


def test_its_state_can_be_taken_over_in_either_direction():
    lean, own = pair_of(decoupled=True)
    for seed in range(3):
        step(*lean, seed)
        step(*own, seed)
    kept = [copy.deepcopy(optimizer.state_dict()) for _, optimizer in (lean, own)]
    lean[1].load_state_dict(kept[1])
    own[1].load_state_dict(kept[0])
    for seed in range(3, 6):
        step(*lean, seed)
        step(*own, seed)
    assert are_equal(lean[0], own[0])


def test_a_parameter_without_gradient_stays():
    lean, own = pair_of(decoupled=True)
    for pair in (lean, own):
        step(*pair, 0)
        step(*pair, 1)
        pair[0][2].bias.requires_grad_(requires_grad=False).grad = None
        step(*pair, 2)
        step(*pair, 3)
    assert are_equal(lean[0], own[0])


def test_a_group_that_joins_later_is_moved_too():
    lean, own = pair_of(decoupled=True)
    late = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    for pair, parameter in zip((lean, own), late, strict=True):
        step(*pair, 0)
        pair[1].add_param_group({"params": [parameter], "weight_decay": 0.5})
        for seed in range(1, 4):
            parameter.grad = torch.full((3,), float(seed))
            pair[1].step()
    assert torch.equal(*late)
    assert not torch.equal(late[0], torch.ones(3))


def test_a_closure_is_called():
    (network, lean), _ = pair_of(decoupled=True)

    def closure():
        lean.zero_grad()
        loss = network(torch.ones(2, 4)).square().sum()
        loss.backward()
        return loss.item()

    assert lean.step(closure) > 0
    assert lean.step(closure) > 0


def test_a_step_costs_no_lists_once_every_parameter_has_been_moved():
    (network, lean), _ = pair_of(decoupled=True)
    step(network, lean, 0)
    listed = lean._listed
    step(network, lean, 1)
    assert lean._listed is listed
    assert [state["step"].item() for state in lean.state_dict()["state"].values()] == [2] * 6
