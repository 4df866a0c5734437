"""The two streams of random numbers that a training draws from, both from its seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_CPU = torch.device("cpu")


class Batches:
    """Row numbers in a new order every epoch, cut into batches.

    The order comes from a generator of its own, so that a network with other layers sees the same
    batches. A last batch that is too small joins the one before it: a single row has no variance
    for a BatchNorm, and of fewer rows than processes not every process gets one.

    Args:
        rows: number of rows.
        batch_size: rows of a batch.
        seed: decides the order.
        fewest: rows that a last batch must have to stand alone.
    """

    def __init__(self, rows: int, batch_size: int, *, seed: int, fewest: int = 1) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = rows
        self._sizes = [batch_size] * (rows // batch_size)
        if left := rows % batch_size:
            self._sizes.append(left)
        if left and left < fewest and len(self._sizes) > 1:
            self._sizes[-2:] = [batch_size + left]

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def largest(self) -> int:
        """Rows of the largest batch."""
        return max(self._sizes)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self._rows, generator=self._generator)
        return iter(torch.split(order, self._sizes))

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the orders to come."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self._generator.set_state(state["generator"])


class RandomStream:
    """Draws of torch's global generator, kept apart from everybody else's draws of it.

    Dropout draws its masks from the global generator of the device that it computes on, and takes
    no other.

    Args:
        seed: decides the draws.
        device: draws are made on the CPU, and on this device where it is another one.
    """

    def __init__(self, seed: int, device: torch.device = _CPU) -> None:
        self._device = device
        self._state = torch.Generator().manual_seed(seed).get_state()
        self._device_state = (
            None if device == _CPU else torch.Generator(device).manual_seed(seed).get_state()
        )

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Continue the stream; afterwards the global generators are where they were."""
        if self._device_state is None:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(self._state)
                yield
                self._state = torch.get_rng_state()
            return
        with torch.random.fork_rng(devices=[self._device]):
            torch.set_rng_state(self._state)
            torch.cuda.set_rng_state(self._device_state, self._device)
            yield
            self._state = torch.get_rng_state()
            self._device_state = torch.cuda.get_rng_state(self._device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the draws to come."""
        return {"cpu": self._state, "device": self._device_state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self._state, self._device_state = state["cpu"], state["device"]
