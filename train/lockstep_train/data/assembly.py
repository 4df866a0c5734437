"""The assembly of a dataset: from a table and the settings to encoded parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lockstep.artifact.columns import Column, FeatureArray
from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.columns.cells import read_numbers, without_missing
from lockstep_train.data.columns.features import feature, without_unanswerable
from lockstep_train.data.columns.kinds import Typed, settle_kind
from lockstep_train.data.columns.roles import Roles
from lockstep_train.data.columns.target import Target, read_target
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.data.notes import (
    duplicates,
    giveaways,
    imbalance,
    left_out_note,
    shared_groups,
)
from lockstep_train.data.split.division import divide
from lockstep_train.data.split.parts import Parts, check_parts
from lockstep_train.data.table import Table


def assemble(table: Table, configuration: Configuration) -> Dataset:
    """Settle target, parts and kinds, encode every column, and look for what is suspicious.

    Args:
        table: all rows, those of a test file at the end.
        configuration: its sections data, columns and preprocessing decide; its seed draws.

    Raises:
        InvalidSetting: settings that the table does not allow.
        Unreadable: naming the row and the column that cannot be trained on.
    """
    roles = Roles.of(table, configuration)
    held = {
        name: without_missing(table.frame[name], configuration.data.missing)
        for name in roles.names
        if name not in roles.features
    }
    # A group or a time that a person has given a kind is a feature as well.
    for name in (roles.group, roles.time):
        if name and name not in held:
            held[name] = without_missing(table.frame[name], configuration.data.missing)
    target = read_target(table, held[roles.target], configuration.data.task)
    parts = divide(table, held, roles, target, configuration)
    columns, features, left_out, notes = _features(table, roles, parts, configuration)
    parts, lost = without_unanswerable(features, columns, parts)
    check_parts(table, target, parts)
    splits = _splits(table, held, roles, target, features, parts)
    groups = shared_groups(table, held[roles.group], parts) if roles.group else []
    return Dataset(
        name=table.name,
        task=target.task,
        columns=columns,
        classes=target.classes,
        target_name=target.name,
        **splits,
        notes=(
            *table.notes,
            *target.notes,
            *notes,
            *lost,
            *imbalance(target, parts.train),
            *duplicates(features, target, parts),
            *groups,
            *giveaways(features, columns, target, parts.train),
        ),
        left_out=left_out,
    )


def _splits(
    table: Table,
    held: Mapping[str, pl.Series],
    roles: Roles,
    target: Target,
    features: FeatureArray,
    parts: Parts,
) -> dict[str, Split]:
    weights = _weights(table, held[roles.weight], parts) if roles.weight else None
    groups: NDArray[np.int64] | None = None
    if roles.group:  # a test file's row may belong to none
        ranks = held[roles.group].rank("dense").fill_null(0)
        groups = ranks.cast(pl.Int64).to_numpy()
    by_row = np.ascontiguousarray(features)
    return {
        name: Split(
            by_row[rows],
            target.values[rows],
            weights=None if weights is None else weights[rows],
            rows=rows,
            groups=None if groups is None else groups[rows],
        )
        for name, rows in parts.named()
    }


def _features(
    table: Table, roles: Roles, parts: Parts, configuration: Configuration
) -> tuple[tuple[Column, ...], FeatureArray, Mapping[str, str], list[str]]:
    """The columns with their encoded values ``[rows, d]``, those left out, and notes."""
    # In column order: what follows works on whole columns.
    features = np.empty((table.frame.height, len(roles.features)), np.float32, order="F")
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    notes: list[str] = []
    for name in roles.features:
        typed = _typed(table, name, configuration)
        if typed.kind and not table.fixed and _is_void(typed.values, parts):
            typed = Typed(typed.values, None, "no training row has a value of it")
        if typed.kind is None:
            left_out[name] = typed.reason
            continue
        made = feature(table, typed.values, typed.kind, parts.train, configuration)
        features[:, len(columns)] = made.values
        columns.append(made.column)
        notes += [note for note in (typed.note, made.note) if note]
    if not columns:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InvalidSetting(
            f"{table.name} has no column to predict {roles.target!r} from ({reasons}); bring "
            "others, or give one a kind in the section [columns]."
        )
    used = features[:, : len(columns)]
    return tuple(columns), used, left_out, [*left_out_note(left_out), *notes]


def _typed(table: Table, name: str, configuration: Configuration) -> Typed:
    values = without_missing(table.frame[name], configuration.data.missing)
    declared = configuration.columns.get(name)
    return settle_kind(table, values, declared or ("numeric" if table.fixed else None))


def _is_void(values: pl.Series, parts: Parts) -> bool:
    return values.gather(parts.train).null_count() == len(parts.train)


def _weights(table: Table, values: pl.Series, parts: Parts) -> NDArray[np.float32]:
    """How much each row counts, 1 on the average of the training rows.

    Raises:
        Unreadable: naming the row whose weight is no number ≥ 0, or is missing.
        InvalidSetting: every training row has weight 0.
    """
    found = read_numbers(table, values, declared=True) if values.dtype == pl.String else values
    used = np.zeros(len(values), bool)
    used[np.concatenate([rows for _, rows in parts.named()])] = True
    if found is None or not found.dtype.is_numeric():
        raise Unreadable(
            f"{table.where(0, values.name)}: expected numbers ≥ 0 as weights, got {values.dtype}; "
            "name another column with --weight."
        )
    exact: NDArray[np.float64] = found.cast(pl.Float64).to_numpy()
    wrong = used & ~(np.isfinite(exact) & (exact >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise Unreadable(
            f"{table.where(row, values.name)}: expected a weight, a number ≥ 0, got {values[row]}; "
            "mend it, or leave the row out."
        )
    mean = exact[parts.train].mean()
    if not mean > 0:
        raise InvalidSetting(
            f"Every training row of {table.name} has weight 0 ({values.name}); name another column."
        )
    weights: NDArray[np.float32] = (exact / mean).astype(np.float32)
    return weights
