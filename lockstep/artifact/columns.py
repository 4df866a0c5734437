"""Columns: what a row of raw values holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

FeatureArray = NDArray[np.float32]
Kind = Literal["numeric", "categorical", "boolean"]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class Statistics(BaseModel):
    """What a numeric column held in the training split, in its own unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: float
    maximum: float
    mean: float
    std: float
    quantiles: dict[str, float] = Field(default_factory=dict)


class Column(BaseModel):
    """One column of the input.

    Attributes:
        name: the name by which an instance given as an object names it.
        kind: ``numeric``; ``categorical`` (the network sees the index into the vocabulary); or
            ``boolean`` (the network sees 0 and 1).
        unit: the unit of a numeric column, where it is known.
        vocabulary: the categories in the order of their codes.
        missing_allowed: whether training had missing values here.
        unknown_allowed: whether a category that training never saw has a code: the one after the
            vocabulary's last.
        statistics: of a numeric column in the training split.
        frequencies: share of each category in the training split.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    kind: Kind = "numeric"
    unit: str | None = None
    vocabulary: tuple[str, ...] | None = None
    missing_allowed: bool = False
    unknown_allowed: bool = False
    statistics: Statistics | None = None
    frequencies: dict[str, float] | None = None


def describe_columns(names: Sequence[str], features: FeatureArray) -> tuple[Column, ...]:
    """Describe numeric columns from the training split.

    Args:
        names: the ``d`` column names.
        features: ``[n, d]``, in the columns' own units; NaN is missing.
    """
    return tuple(_describe(name, features[:, i]) for i, name in enumerate(names))


def _describe(name: str, values: FeatureArray) -> Column:
    present = values[~np.isnan(values)].astype(np.float64)
    if not len(present):
        return Column(name=name, missing_allowed=True)
    statistics = Statistics(
        minimum=float(present.min()),
        maximum=float(present.max()),
        mean=float(present.mean()),
        std=float(present.std()),
        quantiles={f"{q:g}": float(np.quantile(present, q)) for q in QUANTILES},
    )
    return Column(
        name=name, missing_allowed=bool(len(present) < len(values)), statistics=statistics
    )
