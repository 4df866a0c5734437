"""Where a network is fitted: this process's CPU, or what Lightning Fabric reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import Tensor, nn

from lockstep.errors import InvalidSetting
from train.configuration.training import TrainingConfiguration
from train.network.network import Network

Answer = TypeVar("Answer")

ONE_THREAD_WORK = 300_000_000
"""Multiplications of a step's forward pass up to which one thread is taken.

Measured with torch 2.13 on two cores: up to 30 million a second thread gains a tenth at most, at 70
million it nearly halves the step on cores of its own; where other processes want the cores as well,
its waiting makes the step six to eight times slower. So it is taken only where a step is long.
"""


class Device:
    """The CPU of this process, in float32; and what several processes add to it, which is nothing.

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

    def agreed(self, answer: Answer) -> Answer:
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


def device_of(training: TrainingConfiguration) -> Device:
    """The device that the configuration asks for, shared with the processes of ``torchrun``.

    Raises:
        InvalidSetting: there is no such device, or Lightning Fabric is not installed and needed.
    """
    cuda = torch.cuda.is_available()
    if training.device == "cuda" and not cuda:
        raise InvalidSetting(
            "training.device = 'cuda' needs a CUDA device, however torch sees none: take 'cpu' or "
            "'auto', or install a torch with CUDA and its driver."
        )
    name = "cpu" if training.device == "cpu" or not cuda else "cuda"
    launched = torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()
    if name == "cpu" and not launched:
        return Device()
    if find_spec("lightning_fabric") is None:
        raise InvalidSetting(
            "Fitting on CUDA or under torchrun needs Lightning Fabric, which is not installed: "
            "pip install 'lockstep[distributed]', or set training.device = 'cpu' and start one "
            "process."
        )
    # Imported here: a fit on the CPU does without this library, and without the time to load it.
    from train.fit.parallel import FabricDevice  # noqa: PLC0415

    return FabricDevice.launched(name) if launched else FabricDevice.alone(name)


def threads_for(training: TrainingConfiguration, network: nn.Module) -> int:
    """How many threads torch computes with: the setting, or for ``auto`` one or all cores.

    ``auto`` asks the size of a step and no clock: the number of threads decides how sums are cut,
    and with it the bits, so that the same training must get the same number each time.

    Args:
        training: ``threads`` and ``batch_size``.
        network: what is trained.
    """
    if training.threads != "auto":
        return training.threads
    weights = sum(weight.numel() for weight in network.parameters() if weight.ndim > 1)
    # torch's own number: the physical cores that this process may use, or OMP_NUM_THREADS.
    return 1 if training.batch_size * weights <= ONE_THREAD_WORK else torch.get_num_threads()


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
