"""The keeper of a fit: its curves, and the weights of its best epoch."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from lockstep_train.fit.curves import Epoch


class Keeper:
    """Keeps the curves, and the weights of the epoch with the lowest validation loss.

    Args:
        epochs: after so many the fit is over.
        patience: and after so many since the best one; 0: never.
    """

    def __init__(self, epochs: int, patience: int) -> None:
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self._epochs = epochs
        self._patience = patience
        self._lowest = math.inf
        self._weights: dict[str, Tensor] = {}

    @property
    def over(self) -> bool:
        """Whether all epochs are trained, or too many passed since the best one."""
        return len(self.history) >= self._epochs or self._stalled

    @property
    def stopped_early(self) -> bool:
        """Whether the patience ended before the epochs did."""
        return len(self.history) < self._epochs and self._stalled

    @property
    def _stalled(self) -> bool:
        return bool(self._patience) and len(self.history) - self.best_epoch >= self._patience

    def take(self, epoch: Epoch, network: nn.Module) -> None:
        """Add an epoch that is over, and the network that it was measured on."""
        if epoch.validation_loss < self._lowest:
            self._lowest, self.best_epoch = epoch.validation_loss, epoch.number
            self._weights = {
                name: value.detach().cpu().clone() for name, value in network.state_dict().items()
            }
        self.history.append(epoch)

    def restore(self, network: nn.Module) -> None:
        """Give a network the best epoch's weights, for good: in eval mode."""
        network.load_state_dict(self._weights)
        network.eval()

    def state_dict(self) -> dict[str, Any]:
        """Curves and weights until now."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "best_epoch": self.best_epoch,
            "weights": self._weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.best_epoch = state["best_epoch"]
        self._lowest = self.history[self.best_epoch - 1].validation_loss
        self._weights = state["weights"]


class Clock:
    """How long a fit took, in seconds, however often it was interrupted and resumed."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Until now."""
        return time.perf_counter() - self._started

    def state_dict(self) -> dict[str, Any]:
        """The time until now."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Add the time of a state that `state_dict` returned."""
        self._started -= state["seconds"]
