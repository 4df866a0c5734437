"""Flat memory: parameters one after another in one tensor, and their gradients in another."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from lockstep_train.fit.optimiser import kernels

_ALIGNED = 16
"""Every parameter begins at a multiple of so many floats: 64 bytes, a vector of the processor."""


class Flat:
    """Parameters that lie one after another in memory, and beside them their gradients.

    An operation on all of them is then one call; for a network of few weights a call costs
    more than its arithmetic. The parameters stay the very same objects: their values and their
    gradients become views. Between two of them there may be a few zeros.

    Attributes:
        values: of all parameters ``[n]``.
        gradients: of all parameters ``[n]``, once they were gathered.
        parts: what belongs to each group, as slices of ``[n]``.

    Args:
        groups: parameters of which `can_hold` is true, each once.
    """

    def __init__(self, groups: Sequence[Sequence[Tensor]]) -> None:
        self._parameters = [parameter for group in groups for parameter in group]
        self._starts: list[int] = []
        self.parts: list[slice] = []
        end = 0
        for group in groups:
            first = end
            for parameter in group:
                self._starts.append(end)
                end += -(-parameter.numel() // _ALIGNED) * _ALIGNED
            self.parts.append(slice(first, end))
        self.values, self.gradients = torch.zeros(end), torch.zeros(end)
        self._gradients = self.views(self.gradients)
        for parameter, view in zip(self._parameters, self.views(self.values), strict=True):
            parameter.data = view.copy_(parameter.detach())

    @staticmethod
    def can_hold(parameters: Sequence[Tensor]) -> bool:
        """Whether they are plain float32 tensors on the CPU."""
        return all(
            parameter.device.type == "cpu"
            and parameter.dtype == torch.float32
            and parameter.layout == torch.strided
            and parameter.is_contiguous()
            for parameter in parameters
        )

    def views(self, flat: Tensor) -> list[Tensor]:
        """The part of ``[n]`` that belongs to each parameter, in its shape."""
        return [
            flat[start : start + parameter.numel()].view(parameter.shape)
            for start, parameter in zip(self._starts, self._parameters, strict=True)
        ]

    def gather(self) -> bool:
        """Copy the gradients that a backward pass left into the flat memory.

        A backward pass hands its own tensors over without adding them to anything, if no gradient
        is there yet: to copy them afterwards costs less than to let it add.

        Returns:
            False where a parameter has no gradient; all gradients are then left where they are.
        """
        gradients = [parameter.grad for parameter in self._parameters]
        if all(map(operator.is_, gradients, self._gradients)):
            return True
        if any(gradient is None for gradient in gradients):
            return False
        kernels.copy_each_(self._gradients, cast("list[Tensor]", gradients))
        for parameter, view in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = view
        return True
