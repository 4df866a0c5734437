"""Settings that depend on the data's size and kind, where a person has not chosen them.

The classes of `configuration` hold the defaults for a few rows; a number is noisier than a
class, and gets several members and more dropout. Many rows bear more: numbers spread into bins,
wider blocks, larger batches. A setting that was given, by a file, a flag or an argument, is never
changed.
"""

from __future__ import annotations

from typing import Any

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset

MANY_ROWS = 2_000
"""Training rows from which a table's numbers are spread into bins."""

LARGE_ROWS = 20_000
"""Training rows from which a step takes more of them."""

WIDE_COLUMNS = 200
"""Columns from which a row is taken for an image or a signal: its numbers are not spread."""

MOST_BINS, ROWS_OF_A_BIN = 512, 25
"""Bins of a number at most, and the training rows that one of them holds at least."""

ALL_BINS = 4_096
"""Bins of all numbers together at most: so many values a row are held while it is computed."""

MEMBERS, MEMBERS_OF_LARGE, MEMBERS_OF_WIDE = 8, 4, 2
"""Networks whose answers are averaged: fewer where the rows are many or wide, and a fit is long."""


def settle_defaults(configuration: Configuration, dataset: Dataset) -> Configuration:
    """The configuration with every open setting decided by the training split's size and kind.

    Args:
        configuration: with settings that were given, and others that were not.
        dataset: its rows are counted, not looked at.
    """
    decided = _decided(dataset)
    sections: dict[str, Any] = {}
    for name, settings in decided.items():
        section = getattr(configuration, name)
        given = {key: getattr(section, key) for key in section.model_fields_set}
        sections[name] = type(section).model_validate({**_allowed(settings, given), **given})
    return configuration.model_copy(update=sections)


def _allowed(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that do not go with what was given."""
    without = set()
    if "hidden" in given and len(given["hidden"]) == 1:
        without.add("dropout")  # it would stand right before the head
    if given.get("decay") == "l2":
        without.add("weight_decay")
    if given.get("embedding") == "none":
        without |= {"bins", "column_width"}
    return {key: value for key, value in settings.items() if key not in without}


def _decided(dataset: Dataset) -> dict[str, dict[str, Any]]:
    rows = len(dataset.train)
    regression = dataset.classes is None
    if rows < MANY_ROWS:
        return {"network": {"dropout": 0.4, "members": MEMBERS}} if regression else {}
    if len(dataset.columns) >= WIDE_COLUMNS:
        return _wide_settings(rows)
    numbers = sum(column.kind == "numeric" for column in dataset.columns)
    return _table_settings(rows, numbers, regression=regression)


def _table_settings(rows: int, numbers: int, *, regression: bool) -> dict[str, dict[str, Any]]:
    return {
        "preprocessing": {
            "numeric": "robust",
            "embedding": "piecewise_linear",
            "bins": max(16, min(MOST_BINS, rows // ROWS_OF_A_BIN, ALL_BINS // max(1, numbers))),
            "column_width": 16,
        },
        "network": {
            "hidden": (256, 256),
            "dropout": 0.2 if regression else 0.3,
            "input_dropout": 0.0,
            "embedding_dropout": 0.1,
            "members": MEMBERS_OF_LARGE if rows >= LARGE_ROWS else MEMBERS,
        },
        "training": {
            "epochs": 30 if regression else 12,
            "batch_size": 512 if rows >= LARGE_ROWS else 256,
            "learning_rate": 2e-3,
            "weight_decay": 0.2 if regression else 0.02,
            "patience": 10,
        },
    }


def _wide_settings(rows: int) -> dict[str, dict[str, Any]]:
    large = rows >= LARGE_ROWS
    return {
        "preprocessing": {"numeric": "shared"},
        "network": {
            "hidden": (1024, 512) if large else (512, 256),
            "dropout": 0.4,
            "input_dropout": 0.1,
            "members": MEMBERS_OF_WIDE if large else 1,
        },
        "training": {
            "epochs": 40,
            "batch_size": 256 if large else 64,
            "learning_rate": 2e-3,
            "weight_decay": 0.1,
            "label_smoothing": 0.1,
            "patience": 15,
        },
    }
