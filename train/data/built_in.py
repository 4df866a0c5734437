"""The data sets that scikit-learn carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import datasets

from lockstep.artifact.columns import describe_columns
from train.data.dataset import Dataset, Split, Task
from train.data.parts import partition


@dataclass(frozen=True)
class _BuiltIn:
    """A data set that scikit-learn carries: how it is read, and what is predicted."""

    read: Callable[[], Any]
    task: Task
    target_name: str


# `scaled=False`: the service answers in the user's own units, so training has to see them.
_BUILT_IN = {
    "digits": _BuiltIn(datasets.load_digits, "classification", "digit"),
    "wine": _BuiltIn(datasets.load_wine, "classification", "cultivar"),
    "breast_cancer": _BuiltIn(datasets.load_breast_cancer, "classification", "diagnosis"),
    "diabetes": _BuiltIn(
        lambda: datasets.load_diabetes(scaled=False), "regression", "disease_progression"
    ),
}
BUILT_IN = tuple(_BUILT_IN)


def built_in(name: str, seed: int) -> Dataset:
    """A data set that scikit-learn carries, in the user's own units."""
    source = _BUILT_IN[name]
    bunch = source.read()
    classified = source.task == "classification"
    features = np.ascontiguousarray(bunch.data, dtype=np.float32)
    targets = np.asarray(bunch.target, dtype=np.int64 if classified else np.float32)
    train, validation, test = partition(targets, source.task, seed)
    return Dataset(
        name=name,
        task=source.task,
        columns=describe_columns(tuple(map(_plain, bunch.feature_names)), features[train]),
        # `tolist` and `item` leave numpy's scalars behind: a digit is an int, a name a str.
        classes=tuple(np.asarray(bunch.target_names).tolist()) if classified else None,
        target_name=source.target_name,
        train=Split(features[train], targets[train]),
        validation=Split(features[validation], targets[validation]),
        test=Split(features[test], targets[test]),
    )


def _plain(name: str) -> str:
    """A column name that is one word: ``mean radius`` becomes ``mean_radius``."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")
