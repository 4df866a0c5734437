"""What a study is about: trials of different rows, settings or spaces cannot be compared."""

from __future__ import annotations

from typing import Any

from lockstep_train.data.dataset import Dataset
from lockstep_train.data.digest import data_digest
from lockstep_train.tune.space.space import Space


def identity_of(space: Space, dataset: Dataset, folds: int) -> dict[str, Any]:
    """The identity of a study as JSON; its keys are words for what differs."""
    return {
        "data": data_digest(dataset),
        "search space": space.describe(),
        "settings": space.base.model_dump(mode="json", exclude={"data"}),
        "folds": folds,
    }
