import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lockstep_train.fit.optimiser.gradients import bound_gradients, bound_together


def parameters_with(*gradients):
    parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    return parameters


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_gradients_are_bounded_as_torch_bounds_them(seed, largest):
    generator = torch.Generator().manual_seed(seed)
    gradients = [torch.randn(shape, generator=generator) for shape in ((7, 5), (5,), ())]
    ours, torchs = parameters_with(*gradients), parameters_with(*gradients)
    bound_gradients(ours, largest)
    nn.utils.clip_grad_norm_(torchs, largest)
    together = torch.cat([gradient.flatten() for gradient in gradients])
    bound_together(together, largest)
    for one, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-7)
    expected = torch.cat([parameter.grad.flatten() for parameter in torchs])
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-7)


def test_gradients_below_the_bound_keep_their_bits():
    gradient = torch.tensor([0.3, -0.4])
    (parameter,) = parameters_with(gradient)
    bound_gradients([parameter], 0.6)
    assert torch.equal(parameter.grad, gradient)
    together = gradient.clone()
    bound_together(together, 0.6)
    assert torch.equal(together, gradient)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_is_not_hidden(value):
    parameters = parameters_with(torch.tensor([1.0, value]), torch.ones(2))
    bound_gradients(parameters, 1.0)
    assert any(not parameter.grad.isfinite().all() for parameter in parameters)
    together = torch.tensor([1.0, value, 1.0])
    bound_together(together, 1.0)
    assert not together.isfinite().all()


def test_a_parameter_without_gradient_is_passed_over():
    parameters = [nn.Parameter(torch.ones(2)), *parameters_with(torch.full((2,), 30.0))]
    bound_gradients(parameters, 1.0)
    assert parameters[1].grad.norm() == pytest.approx(1)
    assert parameters[0].grad is None


def test_a_gradient_whose_values_do_not_lie_side_by_side_is_bounded():
    (parameter,) = parameters_with(torch.full((3, 2), 4.0).t())
    bound_gradients([parameter], 1.0)
    assert parameter.grad.norm() == pytest.approx(1)
