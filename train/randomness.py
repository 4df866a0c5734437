"""The two streams of random numbers that a training draws from, both from its seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Batches:
    """Row numbers in a new order every epoch, cut into batches.

    The order comes from a generator of its own, so that a network with other layers sees the same
    batches. A last batch of one row has no variance for a BatchNorm: it joins the one before it.
    """

    def __init__(self, rows: int, batch_size: int, *, seed: int, batch_norm: bool) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = rows
        self._sizes = [batch_size] * (rows // batch_size)
        if left := rows % batch_size:
            self._sizes.append(left)
        if batch_norm and left == 1 and len(self._sizes) > 1:
            self._sizes[-2:] = [batch_size + 1]

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self._rows, generator=self._generator)
        return iter(torch.split(order, self._sizes))


class RandomStream:
    """Draws of torch's global generator that nobody outside can disturb, nor is disturbed by.

    Dropout draws its masks from the global generator and takes no other.
    """

    def __init__(self, seed: int) -> None:
        self._state = torch.Generator().manual_seed(seed).get_state()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Continue the stream; afterwards the global generator is where it was."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._state)
            yield
            self._state = torch.get_rng_state()
