"""What a study is about: trials of different rows, settings or spaces cannot be compared."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from lockstep_train.data.dataset import Dataset
from lockstep_train.tune.space import Space


def identity_of(space: Space, dataset: Dataset, folds: int) -> dict[str, Any]:
    """The identity of a study as JSON; its keys are words for what differs."""
    return {
        "data": data_digest(dataset),
        "search space": space.describe(),
        "settings": space.base.model_dump(mode="json", exclude={"data"}),
        "folds": folds,
    }


def data_digest(dataset: Dataset) -> str:
    """Sha256 over the rows that a study looks at: the training and the validation split."""
    digest = hashlib.sha256()
    words = [dataset.task, dataset.target_name, *dataset.column_names, *(dataset.classes or ())]
    digest.update("\n".join(map(repr, words)).encode())
    for split in (dataset.train, dataset.validation):
        for values in (split.features, split.targets, split.weights):
            if values is not None:
                digest.update(f"{values.dtype} {values.shape}\n".encode())
                digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
