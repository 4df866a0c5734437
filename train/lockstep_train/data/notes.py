"""Notes on a data set: what makes held-out figures better than they would be in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from lockstep.artifact.columns import Column, FeatureArray
from lockstep_train.data.columns.target import Target
from lockstep_train.data.dataset import RowNumbers
from lockstep_train.data.split.parts import Parts
from lockstep_train.data.table import Table

LOOKED_AT_ROWS = 20_000
LOOKED_AT_VALUES = 1_000_000
FEWEST_TRAINING_ROWS = 50
# A single column that explains at least this share is said to give the target away.
GIVEN_AWAY = 0.995
GIVEN_AWAY_VARIANCE = 0.999
_MOST_BINS = 256
_ROWS_A_BIN = 20
_SHOWN_SHARES = 10


def duplicates(features: FeatureArray, target: Target, parts: Parts) -> list[str]:
    """Held-out rows that equal a training row in every column and the target."""
    frame = pl.from_numpy(features, schema=[f"{j}" for j in range(features.shape[1])])
    frame = frame.with_columns(pl.Series("target", target.values))
    hashes: NDArray[np.uint64] = frame.hash_rows(seed=0).to_numpy()
    trained = np.unique(hashes[parts.train])
    found = []
    for name, rows in parts.named()[1:]:
        count = int(np.isin(hashes[rows], trained).sum())
        if count:
            found.append(f"{count} of {len(rows)} {name} rows")
    if not found:
        return []
    note = (
        f"{' and '.join(found)} equal a training row in every column and the target: what was "
        "learned by heart counts as right there; take duplicates out, or keep what belongs "
        "together in one part with --group COLUMN."
    )
    return [note]


def shared_groups(table: Table, groups: pl.Series, parts: Parts) -> list[str]:
    """Groups of the test file that were trained on as well."""
    if table.tested is None:
        return []
    trained = groups.gather(parts.train).unique()
    count = int(groups.gather(parts.test).is_in(trained.implode()).sum())
    if not count:
        return []
    note = (
        f"{count} of {len(parts.test)} rows of the test file belong to a group ({groups.name}) "
        "that is trained on too: figures on them say little about a new group."
    )
    return [note]


def giveaways(
    features: FeatureArray, columns: Sequence[Column], target: Target, trained: RowNumbers
) -> list[str]:
    """Columns each of which nearly decides the target in the training rows by itself.

    For classes: the share of the rows beyond the largest class that a column gets right by the most
    frequent class of each of its values, where these are few, or of as many intervals as there are
    classes. For numbers: the variance that the means of its values or of its quantile bins, a
    straight line, or a straight line through the ranks explains.
    """
    if len(trained) < FEWEST_TRAINING_ROWS:
        return []
    looked_at = max(
        FEWEST_TRAINING_ROWS, min(LOOKED_AT_ROWS, LOOKED_AT_VALUES // max(1, len(columns)))
    )
    rows = trained[:: -(-len(trained) // looked_at)]
    known = target.values[rows]
    classified = target.classes is not None
    explain, bound = (
        (_explained_classes, GIVEN_AWAY)
        if classified
        else (_explained_numbers, GIVEN_AWAY_VARIANCE)
    )
    notes = []
    for j, column in enumerate(columns):
        explained = explain(features[rows, j].astype(np.float64), known)
        if explained >= bound:
            notes.append(
                f"Column {column.name} alone gives {target.name} away ({_percent(explained)} of it "
                "is explained): if it is not known before the answer is, leave it out with --drop "
                f"{column.name}."
            )
    return notes


def _explained_classes(values: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    counts = np.bincount(classes)
    distinct, bins = np.unique(values, return_inverse=True)  # NaN is one of them
    if len(distinct) > _most_bins(values):
        leaves = max(2, int((counts > 0).sum()))
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0)
        column = values[:, None]
        right = int((tree.fit(column, classes).predict(column) == classes).sum())
    else:
        pairs = np.bincount(bins * len(counts) + classes, minlength=len(distinct) * len(counts))
        right = int(pairs.reshape(len(distinct), len(counts)).max(axis=1).sum())
    return float((right - counts.max()) / max(1, len(classes) - counts.max()))


def _explained_numbers(values: NDArray[np.float64], known: NDArray[np.float32]) -> float:
    numbers = known.astype(np.float64)
    variance = numbers.var()
    bins = _bins(values)
    if not variance or not bins.any():
        return 0.0
    means = np.bincount(bins, weights=numbers) / np.maximum(1, np.bincount(bins))
    by_bins = 1 - ((numbers - means[bins]) ** 2).mean() / variance
    present = ~np.isnan(values)
    if present.mean() < 0.9:
        return float(by_bins)
    line = _correlation(values[present], numbers[present])
    ranks = _correlation(_ranks(values[present]), _ranks(numbers[present]))
    return float(max(by_bins, line**2, ranks**2))


def _most_bins(values: NDArray[np.float64]) -> int:
    return min(_MOST_BINS, len(values) // _ROWS_A_BIN)


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of each value's bin: its own where they are few, a quantile's where not."""
    most = _most_bins(values)
    distinct, inverse = np.unique(values, return_inverse=True)
    if len(distinct) <= most:
        return inverse
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, max(3, most))[1:-1]))
    return np.searchsorted(edges, values)  # NaN is sorted behind every edge, into the last bin


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if not one.std() or not other.std():
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = pl.Series(values).rank("average").to_numpy()
    return ranks


def imbalance(target: Target, trained: RowNumbers) -> list[str]:
    """Classes that are far rarer than an even share, or that have very few training rows."""
    if target.classes is None:
        return []
    counts = np.bincount(target.values[trained], minlength=len(target.classes))
    shares = dict(zip(target.classes, counts / counts.sum(), strict=True))
    notes = []
    if min(shares.values()) < 0.5 / len(shares):
        rising = sorted(shares.items(), key=lambda pair: pair[1])
        notes.append(
            f"The classes of {target.name} are imbalanced ({_listed(rising)}): set "
            'training.class_weight = "balanced" to make each count alike.'
        )
    few = [repr(target.classes[i]) for i in np.flatnonzero(counts < 5)]
    if few:
        more = f" and {len(few) - _SHOWN_SHARES} more" if len(few) > _SHOWN_SHARES else ""
        notes.append(
            f"Fewer than 5 training rows show the classes {', '.join(few[:_SHOWN_SHARES])}{more} "
            f"of {target.name}: bring more of them, or merge them into others."
        )
    return notes


def _listed(shares: Sequence[tuple[object, float]]) -> str:
    shown = [f"{label!r} {_percent(share)}" for label, share in shares[:_SHOWN_SHARES]]
    more = len(shares) - _SHOWN_SHARES
    return f"{', '.join(shown)}{f' and {more} more' if more > 0 else ''}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def left_out_note(left_out: Mapping[str, str]) -> list[str]:
    """One sentence on the columns that are left out unasked, by reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    if not reasons:
        return []
    sentences = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
    first = next(iter(left_out))
    note = (
        f"Left out: {sentences}; to keep one, give it a kind in the settings file: "
        f'[columns] {first} = "numeric".'
    )
    return [note]
