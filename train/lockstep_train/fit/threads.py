"""The threads that torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lockstep_train.configuration.training import TrainingConfiguration

ONE_THREAD_WORK = 300_000_000
"""Multiplications of a step's forward pass up to which one thread is taken.

Measured with torch 2.13 on two cores: up to 30 million a second thread gains a tenth at most, at 70
million it nearly halves the step on cores of its own; where other processes want the cores as well,
its waiting makes the step six to eight times slower. So it is taken only where a step is long.
"""


def threads_for(training: TrainingConfiguration, network: nn.Module) -> int:
    """How many threads torch computes with: the setting, or for ``auto`` one or all cores.

    ``auto`` looks at the size of a step and not at a clock. The number of threads decides how sums
    are cut, and with it the bits: the same training must get the same number each time.

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
