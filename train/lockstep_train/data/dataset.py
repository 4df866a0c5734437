"""A data set: rows in three parts that share none, and what their columns hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import Column
from lockstep.artifact.encoding import check_features
from lockstep.errors import InvalidInstances, InvalidSetting

LearningTask = Literal["classification", "regression"]
ClassLabel = int | str | bool
RowNumbers = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Rows and what is to be predicted for them.

    Attributes:
        features: float32 ``[n, d]`` as `lockstep.artifact.encoding` makes them: numbers in the
            user's own units, codes of categories, 0 and 1 of booleans, NaN where one is missing.
        targets: ``[n]``, int64 index of the class, or float32 for regression.
        weights: float32 ``[n]`` ≥ 0, how much a row counts in the loss, 1 on the average of the
            training split; None where all do alike.
        rows: int64 ``[n]``, each row's number in the source, from 0; None where it has no order.
        groups: int64 ``[n]``, equal for rows that must stay in one part; None where any may part.
    """

    features: NDArray[np.float32]
    targets: NDArray[Any]
    weights: NDArray[np.float32] | None = None
    rows: RowNumbers | None = None
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def take(self, numbers: RowNumbers) -> Self:
        """The rows of these numbers ``[m]`` within the split, in their order."""
        return type(self)(
            self.features[numbers],
            self.targets[numbers],
            None if self.weights is None else self.weights[numbers],
            None if self.rows is None else self.rows[numbers],
            None if self.groups is None else self.groups[numbers],
        )


@dataclass(frozen=True)
class Dataset:
    """Real rows of one source, in three parts that share none.

    Attributes:
        name: the source's name.
        task: what the target is.
        columns: the ``d`` columns in the order of the features, described by the training split.
        classes: the labels in the order of their index, with their JSON type; None for regression.
        target_name: what is predicted.
        train: the rows that are learned from.
        validation: the rows that stopping and choosing look at.
        test: the rows that are looked at once.
        notes: what a person should know about the source before it is trained on, in sentences.
        left_out: the source's columns that are not among the features, and why not.

    Raises:
        InvalidSetting: a part that cannot be used: fewer than 2 training rows, an empty part, other
            columns than named, a value that its column cannot hold, a class without a label.
    """

    name: str
    task: LearningTask
    columns: tuple[Column, ...]
    classes: tuple[ClassLabel, ...] | None
    target_name: str
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the features."""
        return tuple(column.name for column in self.columns)

    def __post_init__(self) -> None:
        if len(self.train) < 2:
            raise InvalidSetting(
                f"{self.name} has {len(self.train)} training row(s): at least 2 are needed to know "
                "a column's spread. Bring more rows."
            )
        for part in ("train", "validation", "test"):
            self._check(part, getattr(self, part))

    def _check(self, part: str, split: Split) -> None:
        rows, columns = len(split), len(self.columns)
        if not rows:
            raise InvalidSetting(f"The {part} rows of {self.name} are none: bring more rows.")
        if split.features.shape != (rows, columns) or split.targets.shape != (rows,):
            raise InvalidSetting(
                f"The {part} rows of {self.name} must be features [{rows}, {columns}] and targets "
                f"[{rows}], got {list(split.features.shape)} and {list(split.targets.shape)}."
            )
        try:
            check_features(split.features, self.columns)
        except InvalidInstances as error:
            problem = error.problems[0]
            raise InvalidSetting(
                f"{part} row {problem.instance} of {self.name}, column {problem.column}: "
                f"{problem.message}."
            ) from error
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
