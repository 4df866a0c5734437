import math

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lockstep.engine.torchscript import freeze, load_module
from lockstep.errors import InvalidSetting
from lockstep.proof.audit.onnx import audit_onnx
from lockstep.proof.audit.torchscript import audit_torchscript
from lockstep_train.export.onnx_file import to_onnx
from lockstep_train.network.dropout import CHANCES, Dropout
from lockstep_train.network.order import check_order

RATES = [1e-4, 0.05, 0.2, 0.5, 0.9]
DEVIATIONS = 5.0
"""Normal deviations that a figure may be off: by chance, once in two million tests."""


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


def masks(rate, *shape):
    """What Dropout keeps of ones, as 0 and 1."""
    return (Dropout(rate)(torch.ones(*shape)) != 0).double()


def correlation(one, other):
    return np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1] * math.sqrt(one.numel())


@pytest.mark.parametrize("rate", RATES)
def test_values_are_dropped_at_the_rate(rate):
    share = 1 - masks(rate, 1 << 20).mean().item()
    # The rate is a multiple of 1/65,536: at 0.0001 that is 7 of them, and 7 % more.
    exact = round(rate * CHANCES) / CHANCES
    assert abs(exact - rate) <= 0.5 / CHANCES
    assert abs(share - exact) < DEVIATIONS * math.sqrt(exact * (1 - exact) / (1 << 20))


@pytest.mark.parametrize("rate", RATES)
def test_what_is_kept_makes_good_for_what_is_dropped(rate):
    kept = Dropout(rate)(torch.ones(256, dtype=torch.float64)).max().item()
    dropped = round(rate * CHANCES) / CHANCES
    assert (1 - dropped) * kept == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("rate", [0.2, 0.5])
@pytest.mark.parametrize("distance", [*range(1, 9), 16, 63, 64])
def test_a_value_does_not_tell_of_another_one(rate, distance):
    mask = masks(rate, 1 << 18)
    assert abs(correlation(mask[:-distance], mask[distance:])) < DEVIATIONS


def test_no_lane_of_a_draw_has_a_rate_of_its_own():
    lanes = masks(0.2, 1 << 20).view(-1, 4)
    deviation = math.sqrt(0.16 / len(lanes))
    assert (lanes.mean(dim=0) - 0.8).abs().max() < DEVIATIONS * deviation
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert all(abs(correlation(lanes[:, a], lanes[:, b])) < DEVIATIONS for a, b in pairs)


def test_units_rows_and_steps_are_independent():
    steps = torch.stack([masks(0.3, 64, 33) for _ in range(200)])
    deviation = math.sqrt(0.21 / steps[:, 0].numel())
    assert (steps.mean(dim=(0, 1)) - 0.7).abs().max() < DEVIATIONS * deviation
    for moved in (steps.roll(1, 0), steps.roll(1, 1), steps.roll(1, 2)):
        assert abs(correlation(steps, moved)) < DEVIATIONS


def test_the_number_that_is_kept_has_the_variance_of_a_binomial():
    sums = masks(0.4, 4096, 250).sum(dim=1)
    expected = 250 * 0.4 * 0.6
    assert sums.var().item() == pytest.approx(expected, rel=DEVIATIONS * math.sqrt(2 / 4096))


@given(st.lists(st.integers(0, 7), max_size=4), st.sampled_from(["float32", "float64", "bfloat16"]))
def test_any_shape_and_type_is_masked(shape, dtype):
    values = torch.full(shape, 3.0, dtype=getattr(torch, dtype))
    dropped = Dropout(0.5)(values)
    assert (dropped.shape, dropped.dtype) == (values.shape, values.dtype)
    assert set(dropped.reshape(-1).tolist()) <= {0.0, 6.0}


def test_values_that_do_not_lie_side_by_side_are_masked_in_their_places():
    values = torch.arange(1.0, 31.0).view(5, 6)
    torch.manual_seed(1)
    dropped = Dropout(0.5)(values.t())
    torch.manual_seed(1)
    assert torch.equal(dropped, Dropout(0.5)(values.t().contiguous()))


def test_the_global_generator_decides_the_masks():
    torch.manual_seed(3)
    first, second = masks(0.5, 100), masks(0.5, 100)
    torch.manual_seed(3)
    again = masks(0.5, 100)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("rate", [0.0, 1e-9, 1.0, 1 - 1e-9])
def test_a_rate_that_16_bits_cannot_express_is_torchs_own(rate):
    values = torch.ones(50)
    torch.manual_seed(5)
    dropped = Dropout(rate)(values)
    torch.manual_seed(5)
    assert torch.equal(dropped, nn.Dropout(rate)(values))


def test_in_place_is_torchs_own():
    values = torch.ones(50)
    assert Dropout(0.5, inplace=True)(values) is values


def test_the_gradient_passes_where_the_value_was_kept():
    values = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)

    def with_a_fixed_mask(given):
        torch.manual_seed(11)
        return Dropout(0.3)(given)

    assert torch.autograd.gradcheck(with_a_fixed_mask, values)
    assert torch.autograd.gradgradcheck(with_a_fixed_mask, values)


def test_in_eval_mode_the_value_itself_is_returned_and_nothing_is_drawn():
    values, state = torch.randn(4, 3), torch.get_rng_state()
    assert Dropout(0.5).eval()(values) is values
    assert torch.equal(torch.get_rng_state(), state)


def test_the_order_of_a_block_is_held_for_it_too():
    with pytest.raises(InvalidSetting, match="The Dropout 0 stands before the BatchNorm 1"):
        check_order(nn.Sequential(Dropout(), nn.BatchNorm1d(2)))


def network():
    return nn.Sequential(
        Dropout(0.1), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), Dropout(0.2), nn.Linear(4, 3)
    ).eval()


SAMPLE = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


def test_the_exported_graph_knows_nothing_of_it():
    model = onnx.load_from_string(to_onnx(network(), SAMPLE, "probabilities"))
    assert {node.op_type for node in model.graph.node} == {"Gemm", "Relu"}
    assert audit_onnx(model).verdict == "clean"


def test_the_traced_and_frozen_graph_knows_nothing_of_it():
    module = load_module(freeze(network(), SAMPLE))
    assert "dropout" not in str(module.inlined_graph)
    assert "random" not in str(module.inlined_graph)
    assert audit_torchscript(module).verdict == "clean"
