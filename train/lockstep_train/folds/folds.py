"""Folds: every row is held out once, and everything is learned from the other rows alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from lockstep.artifact.columns import Column, describe_columns
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, RowNumbers, Split


@dataclass(frozen=True)
class Fold:
    """One of several data sets of the same rows.

    Attributes:
        number: from 1.
        dataset: its test split is the rows that are held out; its columns are described by its own
            training split, and a category that this split lacks is an unknown one.
        places: of the held-out rows among all rows of the folds, ``[n]``.
    """

    number: int
    dataset: Dataset
    places: RowNumbers


def pooled(dataset: Dataset, *, with_test: bool) -> Split:
    """The rows that are dealt into folds: training and validation split, and the test split if so.

    They are in the order of the source, where it is known.
    """
    splits = [dataset.train, dataset.validation, *([dataset.test] if with_test else [])]
    pool = Split(
        np.concatenate([split.features for split in splits]),
        np.concatenate([split.targets for split in splits]),
        _joined([split.weights for split in splits]),
        _joined([split.rows for split in splits]),
        _joined([split.groups for split in splits]),
    )
    return pool if pool.rows is None else pool.take(np.argsort(pool.rows, kind="stable"))


def _joined(parts: list[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if len(present) == len(parts) else None


def folds_of(
    configuration: Configuration, dataset: Dataset, count: int, *, with_test: bool
) -> tuple[Fold, ...]:
    """Deal rows into folds: classes in their shares, groups whole, as the splits are.

    Of the rows that are not held out, a part as large as the dataset's own validation split is
    what the fit stops by; so the fit never looks at the held-out rows.

    Args:
        configuration: its seed decides which row goes where.
        dataset: whose rows are dealt.
        count: of folds, at least 2.
        with_test: whether the rows of the test split are dealt too.

    Raises:
        InvalidSetting: fewer than 2 folds, fewer rows or groups than folds, or rows in time.
    """
    _check(configuration, count)
    seed = configuration.training.seed
    pool = pooled(dataset, with_test=with_test)
    known = len(dataset.train) + len(dataset.validation)
    validation_folds = max(2, round(known / len(dataset.validation)))
    folds = []
    for number, (rest, held_out) in enumerate(_dealt(dataset, pool, count, seed), start=1):
        others = pool.take(rest)
        fitted, stopping = next(_dealt(dataset, others, validation_folds, seed + number))
        parts = (others.take(fitted), others.take(stopping), pool.take(held_out))
        folds.append(Fold(number, _dataset(dataset, *parts), held_out))
    return tuple(folds)


def judging_folds_of(
    configuration: Configuration, dataset: Dataset, count: int
) -> tuple[Dataset, ...]:
    """Data sets whose validation split is one fold of the training and validation rows each.

    For a search, which judges by the validation loss; the test split's rows are in none of them.

    Raises:
        InvalidSetting: as for `folds_of`.
    """
    _check(configuration, count)
    pool = pooled(dataset, with_test=False)
    datasets = []
    for rest, held_out in _dealt(dataset, pool, count, configuration.training.seed):
        judged = pool.take(held_out)
        datasets.append(_dataset(dataset, pool.take(rest), judged, judged))
    return tuple(datasets)


def _check(configuration: Configuration, count: int) -> None:
    if count < 2:
        raise InvalidSetting(f"There must be at least 2 folds, got {count}.")
    if configuration.data.time is not None:
        raise InvalidSetting(
            f"Rows in the order of {configuration.data.time} have no folds: later rows would teach "
            "what is asked of earlier ones. Leave the folds or data.time out."
        )


def _dealt(
    dataset: Dataset, split: Split, count: int, seed: int
) -> Iterator[tuple[RowNumbers, RowNumbers]]:
    """For each fold, the places of the rows outside it and of those in it."""
    groups = split.groups
    there = len(split) if groups is None else len(np.unique(groups))
    if there < count:
        kind = "rows" if groups is None else "groups"
        raise InvalidSetting(
            f"{dataset.name} has {there} {kind}, too few for {count} folds: take fewer folds."
        )
    classified = dataset.task == "classification"
    # Where every class has fewer rows than there are folds, none can have its share in each.
    stratified = classified and np.bincount(split.targets).max() >= count
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): KFold,
        (False, True): GroupKFold,
        (True, False): StratifiedKFold,
        (True, True): StratifiedGroupKFold,
    }
    splitter = kinds[stratified, groups is not None](count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is missing in some: that is no reason to refuse.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield from splitter.split(split.features, split.targets, groups)


def _dataset(dataset: Dataset, train: Split, validation: Split, test: Split) -> Dataset:
    columns = tuple(
        _described(column, train.features[:, i]) for i, column in enumerate(dataset.columns)
    )
    forget = [_forgetting(column, train.features[:, i]) for i, column in enumerate(dataset.columns)]

    def known(split: Split) -> Split:
        if all(table is None for table in forget):
            return split
        features = split.features.copy()
        for i, table in enumerate(forget):
            if table is not None:
                there = ~np.isnan(features[:, i])
                features[there, i] = table[features[there, i].astype(np.int64)]
        return replace(split, features=features)

    return replace(
        dataset, columns=columns, train=train, validation=known(validation), test=known(test)
    )


def _described(column: Column, values: NDArray[np.float32]) -> Column:
    """The column with what these training rows hold; whether values may be missing stays."""
    if column.kind == "numeric":
        described = describe_columns((column.name,), values[:, None])[0]
        return column.model_copy(update={"statistics": described.statistics})
    if column.vocabulary is None or column.frequencies is None:
        return column
    counts = np.bincount(
        values[~np.isnan(values)].astype(np.int64), minlength=len(column.vocabulary)
    )
    shares = counts / max(1, counts.sum())
    frequencies = {word: float(shares[code]) for code, word in enumerate(column.vocabulary)}
    return column.model_copy(update={"frequencies": frequencies})


def _forgetting(column: Column, values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """A code for each code, which makes a category that these rows lack an unknown one."""
    if column.vocabulary is None or not column.unknown_allowed:
        return None
    unknown = len(column.vocabulary)
    codes = np.arange(unknown + 1, dtype=np.float32)
    absent = ~np.isin(codes, values)
    if not absent[:-1].any():
        return None
    codes[absent] = unknown
    return codes
