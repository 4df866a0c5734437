"""A device: this process's CPU, and the interface of any other that a network is fitted on."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from lockstep_train.network.network import Network

Agreed = TypeVar("Agreed")


class Device:
    """The CPU of this process alone, in float32; other devices override what they do otherwise.

    Attributes:
        name: ``cpu`` or ``cuda``.
        precision: ``float32``, or ``bfloat16`` where matrix products are computed in it (the
            weights are float32 all the same).
        rank: this process's number, from 0; the first one leads, and writes.
        ranks: number of processes that fit together.
        torch_device: where the tensors lie.
    """

    name: str = "cpu"
    precision: str = "float32"
    rank: int = 0
    ranks: int = 1
    torch_device: torch.device = torch.device("cpu")

    def wrap(self, network: Network) -> nn.Module:
        """The module that a step runs; its parameters are the network's own."""
        return network

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the parameters; the mean over all processes."""
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations

    def agreed(self, answer: Agreed) -> Agreed:
        """What the leading process answers."""
        return answer

    def gathered(self, values: Tensor) -> list[Tensor]:
        """What each process brings, by rank."""
        return [values]

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch."""
        return batch if self.ranks == 1 else batch[self.rank :: self.ranks]
