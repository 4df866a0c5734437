"""The data sets that scikit-learn carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from sklearn import datasets

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.data.assembly import assemble
from lockstep_train.data.dataset import Dataset, LearningTask
from lockstep_train.data.sources.arrays import table_of_arrays
from lockstep_train.data.table import Table


@dataclass(frozen=True)
class _BuiltIn:
    """A data set that scikit-learn carries: how it is read, and what is predicted."""

    read: Callable[[], Any]
    task: LearningTask
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
    """A data set that scikit-learn carries, in the user's own units, split by a seed."""
    configuration = Configuration(training=TrainingConfiguration(seed=seed))
    return assemble(built_in_table(name), configuration)


def built_in_table(name: str) -> Table:
    """The rows of a data set that scikit-learn carries; no column of it is left out."""
    source = _BUILT_IN[name]
    bunch = source.read()
    table = table_of_arrays(
        bunch.data,
        None,
        name=name,
        names=tuple(map(_one_word, bunch.feature_names)),
        task=source.task,
    )
    values = bunch.target
    if source.task == "classification":
        values = np.asarray(bunch.target_names)[values]
    target = pl.Series(source.target_name, values.tolist())
    if target.dtype == pl.String:  # in the order that scikit-learn gives the classes
        target = target.cast(pl.Enum([str(word) for word in bunch.target_names]))
    frame = table.frame.with_columns(target)
    return replace(table, frame=frame, target=source.target_name)


def _one_word(name: str) -> str:
    """A column name that is one word: ``mean radius`` becomes ``mean_radius``."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")
