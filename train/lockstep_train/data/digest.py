"""The digest of a dataset: whether two fits, or two runs of a study, learn from the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from lockstep_train.data.dataset import Dataset, Split


def data_digest(dataset: Dataset) -> str:
    """Sha256 over everything that a fit looks at: columns, training split, validation split."""
    digest = hashlib.sha256(f"{dataset.task} {dataset.classes}\n".encode())
    for column in dataset.columns:
        digest.update(f"{column!r}\n".encode())
    for array in _arrays((dataset.train, dataset.validation)):
        digest.update(f"{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _arrays(splits: Iterable[Split]) -> Iterable[np.ndarray[Any, Any]]:
    for split in splits:
        yield split.features
        yield split.targets
        yield np.empty(0) if split.weights is None else split.weights
