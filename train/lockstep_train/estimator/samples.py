"""Samples: the rows that scikit-learn hands over, as features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils.validation import check_array, check_X_y, validate_data

from lockstep.artifact.columns import Column, FeatureArray, describe_columns
from lockstep.artifact.encoding import check_features
from lockstep.artifact.frame import ColumnValues, Numbers, Plain, Words, encode_frame
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.columns.cells import without_missing
from lockstep_train.data.columns.features import feature
from lockstep_train.data.columns.kinds import settle_kind
from lockstep_train.data.dataset import RowNumbers
from lockstep_train.data.sources.frame import table_of

FEWEST_SAMPLES = 3
"""Two to know a column's spread by, one to stop by."""


@dataclass(frozen=True)
class Encoding:
    """How samples become features, learned from those that an estimator was fitted to.

    Attributes:
        columns: of the features.
        left_out: columns of a frame that are none of them, and why not.
        framed: whether the samples are a frame with words, instead of numbers only.
        missing_words: words of a frame that mean that a value is missing.
    """

    columns: tuple[Column, ...]
    left_out: Mapping[str, str]
    framed: bool
    missing_words: tuple[str, ...]

    def features(self, estimator: BaseEstimator, samples: Any) -> FeatureArray:
        """Encode samples that were not fitted.

        Args:
            estimator: has learned the number and names of the columns.
            samples: ``[n, d]``.

        Raises:
            ValueError: of scikit-learn's, for samples of another shape or with other names.
            InvalidInstances: naming each sample and column that the network cannot answer.
        """
        if not self.framed:
            features: FeatureArray = validate_data(
                estimator, samples, reset=False, dtype=np.float32, ensure_all_finite="allow-nan"
            )
            check_features(features, self.columns)
            return features
        validate_data(estimator, samples, reset=False, skip_check_array=True)
        frame = table_of(samples, name="X").frame
        values = {
            column.name: _values(without_missing(frame[column.name], self.missing_words))
            for column in self.columns
        }
        return encode_frame(values, self.columns)


def checked_samples(
    estimator: BaseEstimator, samples: Any, targets: Any
) -> tuple[Any, NDArray[Any]]:
    """Samples and targets to be fitted, as scikit-learn checks them; numbers become float32.

    Args:
        estimator: learns the number and names of the columns.
        samples: an array, or a pandas or polars frame.
        targets: ``[n]``.

    Raises:
        ValueError: of scikit-learn's, in the words that it has for each mistake.
    """
    rules: dict[str, Any] = {
        "y_numeric": is_regressor(estimator),
        "ensure_min_samples": FEWEST_SAMPLES,
    }
    if is_framed(samples):
        validate_data(estimator, samples, targets, skip_check_array=True)
        # Anything with a column and as many rows lets the target be checked by the same rules.
        _, checked_targets = check_X_y(np.zeros((len(samples), 1)), targets, **rules)
        return samples, checked_targets
    rules |= {"dtype": np.float32, "ensure_all_finite": "allow-nan"}
    features, checked_targets = validate_data(estimator, samples, targets, **rules)
    return features, checked_targets


def checked_weights(given: Any, n_samples: int) -> NDArray[np.float32]:
    """How much each sample counts ``[n]``; one number counts for all of them.

    Raises:
        InvalidSetting: weights of another shape, or below 0.
        ValueError: of scikit-learn's, for weights that are no finite numbers.
    """
    each = np.full(n_samples, given) if np.isscalar(given) else given
    weights: NDArray[np.float32] = check_array(
        each, ensure_2d=False, dtype=np.float32, input_name="sample_weight"
    )
    if weights.shape != (n_samples,):
        raise InvalidSetting(
            f"sample_weight must be a number or have the shape ({n_samples},), got {weights.shape}."
        )
    if (weights < 0).any():
        raise InvalidSetting(f"sample_weight must not be below 0, got {weights.min()}.")
    return weights


def take_samples(samples: Any, rows: RowNumbers) -> Any:
    """The samples of these numbers, of an array or a frame."""
    return samples.iloc[rows] if hasattr(samples, "iloc") else samples[rows]


def is_framed(samples: Any) -> bool:
    """Whether samples are a frame in which a column holds something else than numbers."""
    if isinstance(samples, pl.DataFrame):
        return not all(kind.is_numeric() or kind == pl.Boolean for kind in samples.dtypes)
    if not hasattr(samples, "iloc") or not hasattr(samples, "columns"):
        return False
    return not all(_is_number(kind) for kind in samples.dtypes)


def _is_number(kind: Any) -> bool:
    """Whether a pandas column of this type holds numbers or booleans, nullable ones included."""
    return getattr(kind, "kind", "O") in "biuf"


def learn(
    estimator: BaseEstimator, samples: Any, train: RowNumbers, configuration: Configuration
) -> tuple[Encoding, FeatureArray]:
    """How samples become features, described by the training rows; and their features.

    Where a value is missing in any row, it may be missing later.

    Args:
        estimator: knows the columns' names.
        samples: as `checked_samples` returned them.
        train: numbers of the training rows.
        configuration: decides what happens to words.

    Raises:
        Unreadable: naming the row and the column that cannot be trained on.
        InvalidSetting: no column is left.
    """
    if is_framed(samples):
        return _learn_frame(samples, train, configuration)
    given = getattr(estimator, "feature_names_in_", None)
    names = [f"x{i}" for i in range(samples.shape[1])] if given is None else map(str, given)
    columns = tuple(
        column.model_copy(update={"missing_allowed": bool(np.isnan(samples[:, i]).any())})
        for i, column in enumerate(describe_columns(tuple(names), samples[train]))
    )
    return Encoding(columns, {}, framed=False, missing_words=()), samples


def _learn_frame(
    samples: Any, train: RowNumbers, configuration: Configuration
) -> tuple[Encoding, FeatureArray]:
    """The encoding of a frame, whose columns' kinds are inferred as those of a file are."""
    table = table_of(samples, name="X")
    missing = configuration.data.missing
    columns: list[Column] = []
    encoded: list[FeatureArray] = []
    left_out: dict[str, str] = {}
    for name in table.frame.columns:
        typed = settle_kind(table, without_missing(table.frame[name], missing), None)
        if typed.kind is None or typed.values.gather(train).null_count() == len(train):
            left_out[name] = typed.reason or "no training row has a value of it"
            continue
        found = feature(table, typed.values, typed.kind, train, configuration)
        absent = bool(typed.values.null_count())
        columns.append(found.column.model_copy(update={"missing_allowed": absent}))
        encoded.append(found.values)
    if not columns:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InvalidSetting(f"X has no column to learn from: {reasons}.")
    encoding = Encoding(tuple(columns), left_out, framed=True, missing_words=missing)
    return encoding, np.stack(encoded, axis=1)


def _values(column: pl.Series) -> ColumnValues:
    """A column of a frame, as the one encoder takes it."""
    absent = column.is_null().to_numpy() if column.null_count() else None
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        present = column if absent is None else column.fill_null(value=column.drop_nulls().first())
        return Numbers(present.to_numpy(), absent)
    if column.dtype == pl.String or isinstance(column.dtype, pl.Enum | pl.Categorical):
        words = column.cast(pl.String)
        known = words.drop_nulls().unique(maintain_order=True)
        places = words.replace_strict(
            known, pl.Series(range(len(known)), dtype=pl.Int64), default=-1, return_dtype=pl.Int64
        )
        return Words(known.to_list(), places.to_numpy())
    return Plain(column.to_list())
