"""An ensemble: whole networks, each with the preprocessing of its own training rows, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lockstep_train.network.answer import Probabilities
from lockstep_train.network.network import Network
from lockstep_train.network.preprocessing.standardisation import Rescaling


class Ensemble(Network):
    """Networks that were fitted to different rows, whose answers are averaged.

    To a caller it is one network: its outputs are those of all members of all networks, brought to
    one scale: logits over their network's temperature, or predictions in the target's own unit.
    What it answers is their average, added in the networks' order.

    Shape: as `Network`.

    Args:
        networks: of one task, the same columns and outputs.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        nn.Module.__init__(self)  # a Network's own makes members; these are here already
        self.task = networks[0].task
        self.networks = nn.ModuleList(networks)
        self.answer = (
            Probabilities()
            if self.task == "classification"
            else Rescaling(torch.zeros(1), torch.ones(1))
        )
        self.eval()

    def outputs(self, features: Tensor) -> list[Tensor]:
        """Each member's logits ``[n, n_classes]``, or predictions ``[n, 1]``."""
        return [
            self._scaled(network, output)
            for network in (cast("Network", each) for each in self.networks)
            for output in network.outputs(features)
        ]

    def _scaled(self, network: Network, output: Tensor) -> Tensor:
        if isinstance(network.answer, Probabilities):
            return output / network.answer.temperature
        return cast("Tensor", network.answer(output))
