"""Columns: the names, kinds and statistics of the values in a row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

FeatureArray = NDArray[np.float32]
Kind = Literal["numeric", "categorical", "boolean"]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

# The words that a boolean column accepts, in any case, besides true, false, 1 and 0 themselves.
TRUTHS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


class Statistics(BaseModel):
    """Statistics of a numeric or boolean column in the training split, in its own unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: float
    maximum: float
    mean: float
    std: float
    quantiles: dict[str, float] = Field(default_factory=dict)


class Column(BaseModel):
    """One column of the input.

    Attributes:
        name: the key of its value in an instance that is given as an object.
        kind: ``numeric``; ``categorical`` (the network sees the index into the vocabulary); or
            ``boolean`` (the network sees 0 and 1).
        unit: the unit of a numeric column, where it is known.
        vocabulary: the categories in the order of their codes.
        missing_allowed: whether training had missing values here.
        missing_words: words that mean a missing value where a raw value is text, as they did in
            the training data; None always means missing.
        blank_missing: whether an empty cell of a text file means a missing value.
        unknown_allowed: whether a category that training never saw has a code, the one after the
            vocabulary's last.
        statistics: of a numeric or boolean column in the training split.
        frequencies: share of each category, or of true and false, in the training split's values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    kind: Kind = "numeric"
    unit: str | None = None
    vocabulary: tuple[str, ...] | None = None
    missing_allowed: bool = False
    missing_words: tuple[str, ...] = ()
    blank_missing: bool = True
    unknown_allowed: bool = False
    statistics: Statistics | None = None
    frequencies: dict[str, float] | None = None

    @cached_property
    def codes(self) -> dict[str, int]:
        """The code of each category."""
        return {word: code for code, word in enumerate(self.vocabulary or ())}

    @property
    def largest_code(self) -> int:
        """The largest whole number that stands for a value of a categorical or boolean column."""
        if self.kind == "boolean":
            return 1
        return len(self.vocabulary or ()) - 1 + self.unknown_allowed


def describe_columns(names: Sequence[str], features: FeatureArray) -> tuple[Column, ...]:
    """Describe numeric columns from the training split.

    Args:
        names: the ``d`` column names.
        features: ``[n, d]``, in the columns' own units; NaN is missing.
    """
    return tuple(_describe(name, features[:, i]) for i, name in enumerate(names))


def _describe(name: str, values: FeatureArray) -> Column:
    statistics = statistics_of(values)
    missing = statistics is None or bool(np.isnan(values).any())
    return Column(name=name, missing_allowed=missing, statistics=statistics)


def statistics_of(values: FeatureArray) -> Statistics | None:
    """Statistics of ``[n]`` values, NaN where one is missing; None if all are missing."""
    present = values[~np.isnan(values)].astype(np.float64)
    if not len(present):
        return None
    quantiles = np.quantile(present, QUANTILES)
    return Statistics(
        minimum=float(present.min()),
        maximum=float(present.max()),
        mean=float(present.mean()),
        std=float(present.std()),
        quantiles={f"{q:g}": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
    )
