"""Dropout: the one place from which every network takes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANCES = 1 << 16
"""Rates are rounded to a multiple of 1 / `CHANCES`: 16 random bits decide about a value."""

_LOWEST = -(1 << 15)
_VALUES_A_WORD = 4


class Dropout(nn.Dropout):
    """Zeroes values at random in training, and does nothing in eval mode.

    Srivastava et al., "Dropout", 2014, as `torch.nn.Dropout`, whose place it takes. On the CPU
    torch draws a Bernoulli variable for each value, which may cost more than a layer's matrix
    product. Here one draw of 64 bits decides about four values. The rate is the nearest
    multiple of 1/65,536, and what is kept is scaled by the inverse of the exact share that is kept,
    so that the expectation is the value itself. The draws are those of torch's global generator.

    Shape: any → the same.

    Example:
        >>> Dropout(0.5).eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def forward(self, values: Tensor) -> Tensor:
        """Zero some of the values, in training."""
        if not self.training:
            return values
        if values.device.type != "cpu" or not self.is_cheap:
            return functional.dropout(values, self.p, training=True, inplace=self.inplace)
        return values * mask(values, self.dropped)

    @property
    def dropped(self) -> int:
        """How many of `CHANCES` drop a value."""
        return round(self.p * CHANCES)

    @property
    def is_cheap(self) -> bool:
        """Whether 16 bits a value can express the rate, which next to 0 and 1 they cannot."""
        return not self.inplace and 0 < self.dropped < CHANCES


def scale(dropped: int) -> float:
    """What is kept is multiplied by this, so that the expectation is the value itself."""
    return CHANCES / (CHANCES - dropped)


def mask(values: Tensor, dropped: int) -> Tensor:
    """What the values are multiplied by: 0 where one is dropped, else the scale.

    Args:
        values: on the CPU.
        dropped: how many of `CHANCES` drop a value, at least 1.
    """
    words = torch.empty(-(-values.numel() // _VALUES_A_WORD), dtype=torch.int64)
    # From -2^63 without an upper bound, all 64 bits are drawn; by default the sign would be 0.
    words.random_(-(1 << 63), None)
    fates = words.view(torch.int16)[: values.numel()].view(values.shape)
    # Compared straight into numbers: a mask of bools would have to be converted for the product.
    kept = torch.empty(values.shape, dtype=values.dtype)
    return torch.ge(fates, _LOWEST + dropped, out=kept).mul_(scale(dropped))
