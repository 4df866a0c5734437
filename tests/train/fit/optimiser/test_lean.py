import copy

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from lockstep_train.fit.optimiser.flat import Flat
from lockstep_train.fit.optimiser.lean import LeanAdam


def network_of():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 16))


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
    assert lean[1]._flat is not None
    assert are_equal(lean[0], own[0])


@pytest.mark.parametrize("decoupled", [True, False])
def test_a_parameter_that_fills_no_whole_vector_differs_by_a_rounding(decoupled):
    ours, torchs = (nn.Parameter(torch.linspace(-2, 2, 37)) for _ in range(2))
    lean = LeanAdam([ours], learning_rate=0.1, weight_decay=0.5, decoupled=decoupled)
    own = (AdamW if decoupled else Adam)([torchs], lr=0.1, weight_decay=0.5, fused=True)
    for _ in range(9):
        for parameter, optimizer in ((ours, lean), (torchs, own)):
            optimizer.zero_grad()
            parameter.pow(3).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=1e-7)


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


def test_each_parameter_s_state_tells_how_often_it_was_moved():
    (network, lean), _ = pair_of(decoupled=True)
    for seed in range(2):
        step(network, lean, seed)
    assert [state["step"].item() for state in lean.state_dict()["state"].values()] == [2] * 6


def test_parameters_stay_the_same_objects_with_the_same_values():
    (network, lean), (twin, _) = pair_of(decoupled=True)
    before = list(network.parameters())
    lean.zero_grad()
    assert all(one is other for one, other in zip(network.parameters(), before, strict=True))
    assert are_equal(network, twin)


def test_the_bound_is_that_of_all_parameters_together():
    (network, lean), (twin, _) = pair_of(decoupled=True)
    for module, forget in ((network, lean.zero_grad), (twin, twin.zero_grad)):
        forget()
        module(torch.arange(12.0).view(3, 4)).square().sum().backward()
    lean.bound_gradients(0.5)
    nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_gradients_that_lie_elsewhere_are_bounded_and_followed_too():
    lean, own = pair_of(decoupled=True)
    for network, optimizer in (lean, own):
        step(network, optimizer, 0)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
    lean[1].bound_gradients(1e-3)
    nn.utils.clip_grad_norm_(own[0].parameters(), 1e-3)
    for _, optimizer in (lean, own):
        optimizer.step()
    for one, other in zip(lean[0].parameters(), own[0].parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_parameters_of_another_type_are_moved_by_torchs_own_step():
    parameters = [nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2)]
    optimizers = (
        LeanAdam(parameters[:1], learning_rate=0.1, decoupled=True),
        AdamW(parameters[1:], lr=0.1, weight_decay=0, fused=True),
    )
    for optimizer, parameter in zip(optimizers, parameters, strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            parameter.square().sum().backward()
            optimizer.step()
    assert torch.equal(*parameters)


def test_flat_parameters_begin_at_whole_vectors_and_zeros_lie_between():
    parameters = [nn.Parameter(torch.full(shape, 2.0)) for shape in ((3, 7), (), (16,))]
    flat = Flat([parameters[:1], parameters[1:]])
    assert all(parameter.data_ptr() % 64 == 0 for parameter in parameters)
    assert flat.values.sum() == 2 * (21 + 1 + 16)
    assert [flat.values[part].sum() for part in flat.parts] == [42, 34]
    assert not flat.gather()
    sum(parameter.sum() for parameter in parameters).backward()
    assert flat.gather()
    assert flat.gradients.sum() == 21 + 1 + 16
    sum(parameter.sum() for parameter in parameters).backward()
    assert flat.gather()
    assert flat.gradients.sum() == 2 * (21 + 1 + 16)
    parameters[0].grad = None
    assert not flat.gather()
