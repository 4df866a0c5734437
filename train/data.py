"""Rows to train on: named sources, split once into training, validation and test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.model_selection import train_test_split

from lockstep.errors import InvalidSetting
from train.configuration import did_you_mean

Task = Literal["classification", "regression"]
Label = int | str | bool

HIGHEST_SEED = 2**32 - 1
_HELD_OUT = 0.4  # of all rows, half for validation and half for the test


@dataclass(frozen=True)
class Split:
    """Rows and what is to be predicted for them.

    Attributes:
        features: float32 ``[n, d]``, in the user's own units.
        targets: ``[n]``, int64 index of the class, or float32 for regression.
    """

    features: NDArray[np.float32]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Dataset:
    """Real rows of one source, in three parts that share none.

    Attributes:
        name: the source's name.
        task: what the target is.
        column_names: names of the ``d`` columns, in the order of the features.
        classes: the labels in the order of their index, with their JSON type; None for regression.
        target_name: what is predicted.
        train: the rows that are learned from.
        validation: the rows that stopping and choosing look at.
        test: the rows that are looked at once.

    Raises:
        InvalidSetting: a part that cannot be used: fewer than 2 training rows, an empty part, other
            columns than named, a value that is not a finite number, a class without a label.
    """

    name: str
    task: Task
    column_names: tuple[str, ...]
    classes: tuple[Label, ...] | None
    target_name: str
    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        if len(self.train) < 2:
            raise InvalidSetting(
                f"{self.name} has {len(self.train)} training row(s): at least 2 are needed to know "
                "a column's spread. Bring more rows."
            )
        for part in ("train", "validation", "test"):
            self._check(part, getattr(self, part))

    def _check(self, part: str, split: Split) -> None:
        rows, columns = len(split), len(self.column_names)
        if not rows:
            raise InvalidSetting(f"The {part} rows of {self.name} are none: bring more rows.")
        if split.features.shape != (rows, columns) or split.targets.shape != (rows,):
            raise InvalidSetting(
                f"The {part} rows of {self.name} must be features [{rows}, {columns}] and targets "
                f"[{rows}], got {list(split.features.shape)} and {list(split.targets.shape)}."
            )
        finite = np.isfinite(split.features)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise InvalidSetting(
                f"{part} row {row} of {self.name}, column {self.column_names[column]}: expected a "
                f"finite number, got {split.features[row, column]}."
            )
        if not np.isfinite(split.targets).all():
            row = int(np.argmin(np.isfinite(split.targets)))
            raise InvalidSetting(
                f"{part} row {row} of {self.name}: the target {self.target_name} must be a finite "
                f"number, got {split.targets[row]}."
            )
        known = len(self.classes or ())
        if self.task == "classification" and (
            split.targets.min() < 0 or split.targets.max() >= known
        ):
            raise InvalidSetting(
                f"The {part} targets of {self.name} must be an index into its {known} classes, got "
                f"{split.targets.min()} to {split.targets.max()}."
            )


def load(source: str, *, seed: int) -> Dataset:
    """Read a source and split it: 60 % to train, 20 % to validate, 20 % to test.

    A classification is split so that every part has each class in its share. The same seed gives
    the same parts.

    Args:
        source: one of ``BUILT_IN``.
        seed: decides which row goes where, 0 to 2³² − 1.

    Raises:
        InvalidSetting: an unknown source, or a seed out of range.
    """
    if not 0 <= seed <= HIGHEST_SEED:
        raise InvalidSetting(f"The seed must be from 0 to {HIGHEST_SEED}, got {seed}.")
    if source in _BUILT_IN:
        return _built_in(source, seed)
    listed = ", ".join(BUILT_IN)
    raise InvalidSetting(
        f"There is no source {source!r}.{did_you_mean(source, BUILT_IN)} There are: {listed}."
    )


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


def _built_in(name: str, seed: int) -> Dataset:
    source = _BUILT_IN[name]
    bunch = source.read()
    classified = source.task == "classification"
    features = np.ascontiguousarray(bunch.data, dtype=np.float32)
    targets = np.asarray(bunch.target, dtype=np.int64 if classified else np.float32)
    train, validation, test = _partition(targets, source.task, seed)
    return Dataset(
        name=name,
        task=source.task,
        column_names=tuple(map(_plain, bunch.feature_names)),
        # `tolist` and `item` leave numpy's scalars behind: a digit is an int, a name a str.
        classes=tuple(np.asarray(bunch.target_names).tolist()) if classified else None,
        target_name=source.target_name,
        train=Split(features[train], targets[train]),
        validation=Split(features[validation], targets[validation]),
        test=Split(features[test], targets[test]),
    )


def _partition(
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


def _plain(name: str) -> str:
    """A column name that is one word: ``mean radius`` becomes ``mean_radius``."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")
