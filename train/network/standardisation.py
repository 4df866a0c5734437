"""Numbers in their own units → mean 0 and deviation 1, and back, by buffers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Standardisation(nn.Module):
    """Columns in their own units → columns of mean 0 and deviation 1, by buffers.

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
        """Means and deviations of the columns of ``[n, d]``; a constant column gets scale 1."""
        exact = columns.astype(np.float64)
        # Asked of the values, because the deviation of equal values is not always exactly 0; and of
        # the float32 scale, because a tiny deviation may vanish in it.
        scale = exact.std(axis=0).astype(np.float32)
        scale[(exact.max(axis=0) == exact.min(axis=0)) | (scale == 0)] = 1
        return cls(torch.from_numpy(exact.mean(axis=0)), torch.from_numpy(scale))

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
