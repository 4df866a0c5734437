"""Which row goes into which part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from train.data.dataset import Task

_HELD_OUT = 0.4  # of all rows, half for validation and half for the test


def partition(
    targets: NDArray[Any], task: Task, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of the training, validation and test split."""
    rows = np.arange(len(targets))
    shares = targets if task == "classification" else None
    train, held_out = train_test_split(
        rows, test_size=_HELD_OUT, random_state=seed, stratify=shares
    )
    validation, test = train_test_split(
        held_out,
        test_size=0.5,
        random_state=seed,
        stratify=None if shares is None else shares[held_out],
    )
    return train, validation, test
