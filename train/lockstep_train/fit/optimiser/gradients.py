"""The bound on the gradients of a step, as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lockstep_train.fit.optimiser import kernels

_FLOOR = 1e-6
"""Added to the norm that is divided by, as `torch.nn.utils.clip_grad_norm_` does."""


def bound_gradients(parameters: Sequence[Tensor], largest: float) -> None:
    """Scale gradients on the CPU down together, so that their norm is at most ``largest``.

    As `torch.nn.utils.clip_grad_norm_` (Pascanu, Mikolov and Bengio 2013). For a network of few
    weights torch's function takes longer than the norm itself, and it multiplies even where the
    norm is small enough.

    Args:
        parameters: those without a gradient are passed over.
        largest: above 0.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    with torch.no_grad():
        norms = kernels.norm_of_each(gradients)
        if (share := _share(math.hypot(*(each.item() for each in norms)), largest)) < 1:
            kernels.multiply_each_(gradients, share)


def bound_together(gradients: Tensor, largest: float) -> None:
    """The same, for gradients that lie together in one tensor."""
    if (share := _share(torch.linalg.vector_norm(gradients).item(), largest)) != 1:
        gradients.mul_(share)


def _share(norm: float, largest: float) -> float:
    # Written so that a norm that is no number spoils the weights: the fit then reports it.
    return 1.0 if norm <= largest else largest / (norm + _FLOOR)
