"""What exact outputs become when they are served: probabilities, or a number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lockstep_train.exact.grid import FloatArray
from lockstep_train.exact.layer import buffer

LOGIT_BITS = 20
"""Bits of a logit's fraction."""

FARTHEST_LOGIT = 80
"""How far below the largest logit a class is at most: e^-80 is far above float32's least."""

PREDICTION_BITS = 50
"""Bits that a prediction in the target's own unit may take."""

_LOW_BITS = 13
_SUM_BITS = 44


class ExactSoftmax(nn.Module):
    """Logits in whole numbers → probabilities, by two tables, one product and one division.

    ``t = max z - z`` is a whole number of ``2^-20``; ``e^-t`` is the product of the entries for its
    upper and its lower digits. For their sum the products are rounded to a grid on which it is
    exact; what is divided by it is not, so that small probabilities keep all their digits.

    Shape: ``[n, n_classes]`` → the same, float64.
    """

    high: Tensor
    low: Tensor

    def __init__(self) -> None:
        super().__init__()
        step = 2.0**-LOGIT_BITS
        self.most = float(FARTHEST_LOGIT * 2**LOGIT_BITS)
        self.low_size = float(2**_LOW_BITS)
        self.one = 2.0**_SUM_BITS
        uppers = FARTHEST_LOGIT * 2 ** (LOGIT_BITS - _LOW_BITS) + 1
        lows = np.exp(-np.arange(2**_LOW_BITS) * step)
        highs = np.exp(-np.arange(uppers) * step * 2**_LOW_BITS)
        self.register_buffer("high", buffer(np.ldexp(highs, _SUM_BITS)[:, None]))
        self.register_buffer("low", buffer(lows[:, None]))

    def forward(self, logits: Tensor) -> Tensor:
        """Probabilities of whole numbers."""
        below = logits.amax(dim=1, keepdim=True) - logits
        # The lower bound cuts nothing off: it is there for the proof, which reads it in the file.
        below = below.clamp(0.0, self.most)
        upper = (below * (1 / self.low_size)).to(torch.int64)
        lower = below.fmod(self.low_size).to(torch.int64)
        powers = functional.embedding(upper, self.high) * functional.embedding(lower, self.low)
        powers = powers.squeeze(-1)
        total = powers.round().sum(dim=1, keepdim=True)
        # The largest logit's own power is 1: this bound too is there for the proof alone.
        return powers / total.clamp(min=self.one)


class ExactAverage(nn.Module):
    """Probabilities of the members → their average, added in the members' order, in float32."""

    def forward(self, answers: list[Tensor]) -> Tensor:
        """The average of ``[n, n_classes]`` each."""
        total = answers[0]
        for answer in answers[1:]:
            total = total + answer
        return (total if len(answers) == 1 else total / len(answers)).to(torch.float32)


class ExactPrediction(nn.Module):
    """Sums of the members → the prediction in the target's own unit, in float32.

    Each is multiplied once and rounded to a grid on which the rest is exact.

    Shape: ``[n, 1]`` each → ``[n, 1]``.

    Args:
        scales: by which each member's sum is multiplied, the average included.
        mean: that is added to their total.
        reach: largest size of each member's sum.
    """

    scales: Tensor
    mean: Tensor
    zero: Tensor
    unit: Tensor

    def __init__(self, scales: FloatArray, mean: float, reach: FloatArray) -> None:
        super().__init__()
        largest = float(np.abs(scales) @ reach) + abs(mean)
        bits = PREDICTION_BITS - int(np.ceil(np.log2(max(largest, 2.0**-60))))
        self.register_buffer("scales", buffer(np.ldexp(scales, bits)))
        self.register_buffer("mean", buffer(np.rint(np.ldexp(mean, bits))))
        self.register_buffer("unit", buffer([2.0**-bits]))
        self.register_buffer("zero", torch.zeros(1, dtype=torch.float64))
        self.mean_counts = bool(self.mean)

    def forward(self, sums: list[Tensor]) -> Tensor:
        """The prediction."""
        # An optimiser may move a factor into the weights: the first grid keeps it out.
        scaled = (torch.cat(sums, dim=1).round() * self.scales).round()
        total = scaled.sum(dim=1, keepdim=True)
        total = total + self.mean if self.mean_counts else total
        # Libraries may give an exact zero either sign.
        signed = torch.where(total == 0, self.zero, total)
        return (signed * self.unit).to(torch.float32)
