"""The running average of the weights: steadier than the weights themselves."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lockstep_train.network.network import Network

_RUNNING_STATISTICS = ("running_mean", "running_var")


class WeightAverage:
    """An exponential moving average of a network's weights and of BatchNorm's statistics.

    After step ``t`` the average keeps the share ``min(decay, (1 + t) / (10 + t))`` of itself: the
    warm-up lets a short training forget the weights that it began with, as TensorFlow's
    ``ExponentialMovingAverage`` does. BatchNorm's running statistics are averaged in the same way
    (those of the newest weights would not fit the averaged ones; Izmailov et al. 2018 measure them
    anew); the other buffers come from the data and do not change.

    Attributes:
        network: the averaged network.

    Args:
        network: what is averaged; it lies where it will stay.
        decay: share that a late step keeps, below 1.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._decay = decay
        self._steps = 0
        self._averaged = _learned(self.network)
        self._newest = _learned(network)

    def update(self) -> None:
        """Take in the newest weights, after an optimiser step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's, unannotated
        blend(self._averaged, self._newest, self._steps)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how the average goes on."""
        return {"network": self.network.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self._steps = state["steps"]


def _learned(network: Network) -> list[Tensor]:
    """The tensors that a step changes, each the live one."""
    statistics = (
        buffer
        for name, buffer in network.named_buffers()
        if name.rpartition(".")[2] in _RUNNING_STATISTICS
    )
    return list(chain(network.parameters(), statistics))
