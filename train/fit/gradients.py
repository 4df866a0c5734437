"""The gradients of a step, as a whole: forgotten before it, bounded after it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_FLOOR = 1e-6
"""Added to the norm that is divided by, as `torch.nn.utils.clip_grad_norm_` does."""


def forget_gradients(parameters: Sequence[Tensor]) -> None:
    """Let the next backward pass begin anew."""
    for parameter in parameters:
        parameter.grad = None


def bound_gradients(parameters: Sequence[Tensor], largest: float) -> None:
    """Scale the gradients down together, so that their norm is at most ``largest``.

    As `torch.nn.utils.clip_grad_norm_` (Pascanu, Mikolov and Bengio 2013), which for a network of
    few weights takes longer than the norm itself, and multiplies where nothing is to be bounded.

    Args:
        parameters: those without a gradient are passed over.
        largest: above 0.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients or gradients[0].device.type != "cpu":
        nn.utils.clip_grad_norm_(parameters, largest)
        return
    with torch.no_grad():
        norms = torch._foreach_norm(gradients)  # noqa: SLF001 - as torch's own
        norm = math.hypot(*(each.item() for each in norms))
        # Written so that a norm that is no number spoils the weights, which the fit then tells of.
        if not norm <= largest:
            torch._foreach_mul_(gradients, largest / (norm + _FLOOR))
