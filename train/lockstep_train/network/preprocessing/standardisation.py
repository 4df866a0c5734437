"""Numbers in their own units → mean 0 and deviation 1, and back, by buffers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lockstep_train.network.preprocessing.present import present_values


class Standardisation(nn.Module):
    """Columns in their own units → columns of mean 0 and deviation 1, by buffers.

    The mean is subtracted before anything is divided: float32 would lose a deviation that is small
    against the mean in a product with its inverse.

    Shape: ``[n, d]`` → ``[n, d]``.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.to(torch.float32))
        self.register_buffer("scale", scale.to(torch.float32))

    @classmethod
    def of(cls, columns: NDArray[Any]) -> Self:
        """Means and deviations of the columns of ``[n, d]``; a constant column gets scale 1.

        Args:
            columns: in their own units; NaN is missing and does not count.
        """
        mean, scale = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        for j, values in enumerate(present_values(columns)):
            mean[j] = values.mean()
            deviation = np.float32(values.std())
            # Asked of the values, because the deviation of equal values is not always exactly 0;
            # and of the float32 scale, because a tiny deviation may vanish in it.
            if deviation > 0 and values.max() > values.min():
                scale[j] = deviation
        return cls(torch.from_numpy(mean), torch.from_numpy(scale))

    @classmethod
    def shared(cls, columns: NDArray[Any]) -> Self:
        """Each column's own mean, and one deviation for all of them: for columns of one unit.

        A pixel that is nearly always dark would be blown up by its own deviation.

        Args:
            columns: ``[n, d]``, in their own units; NaN is missing and does not count.
        """
        own = cls.of(columns)
        variances = [values.var() for values in present_values(columns)]
        scale = float(np.sqrt(np.mean(variances))) or 1.0
        return cls(own.mean, torch.full_like(own.mean, scale))

    def forward(self, columns: Tensor) -> Tensor:
        """Standardise ``[n, d]``."""
        return (columns - self.mean) / self.scale

    def extra_repr(self) -> str:
        """The number of columns."""
        return f"{self.mean.numel()}"


class Rescaling(nn.Module):
    """A standardised prediction → the target's own units, by buffers. Shape: ``[n, 1]`` → same."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.to(torch.float32))
        self.register_buffer("scale", scale.to(torch.float32))

    def forward(self, standardised: Tensor) -> Tensor:
        """Undo the target's standardisation of ``[n, 1]``."""
        return standardised * self.scale + self.mean
