"""The overview of a dataset's columns, as a person sees it before training."""

from __future__ import annotations

import numpy as np

from lockstep.artifact.columns import Column
from lockstep_train.data.dataset import Dataset

HEADINGS = ("column", "kind", "missing", "training rows hold")
_SHOWN_ROWS = 60
_SHOWN_CATEGORIES = 3
_SHOWN_WORD = 24


def overview(dataset: Dataset, most: int = _SHOWN_ROWS) -> list[tuple[str, str, str, str]]:
    """One row for each column under ``HEADINGS``, those that are left out at the end.

    Args:
        dataset: whose training split is described.
        most: rows that are shown; a last one counts the others.
    """
    missing = np.isnan(dataset.train.features).mean(axis=0)
    rows: list[tuple[str, str, str, str]] = [
        (column.name, column.kind, _percent(float(share)) if share else "", _held(column))
        for column, share in zip(dataset.columns, missing, strict=True)
    ]
    rows += [(name, "left out", "", reason) for name, reason in dataset.left_out.items()]
    if len(rows) > most:
        rows[most - 1 :] = [(f"and {len(rows) - most + 1} more", "", "", "")]
    return rows


def _held(column: Column) -> str:
    if column.kind == "categorical":
        shares = list((column.frequencies or {}).items())
        shown = ", ".join(
            f"{word[:_SHOWN_WORD]} {_percent(share)}" for word, share in shares[:_SHOWN_CATEGORIES]
        )
        return f"{len(shares)} categories: {shown}{', ...' * (len(shares) > _SHOWN_CATEGORIES)}"
    if column.kind == "boolean" and column.frequencies:
        return f"true {_percent(column.frequencies['true'])}"
    statistics = column.statistics
    if statistics is None:
        return "no value"
    if statistics.minimum == statistics.maximum:
        return f"always {statistics.mean:.4g}"
    return (
        f"{statistics.minimum:.4g} to {statistics.maximum:.4g}, mean {statistics.mean:.4g}, "
        f"deviation {statistics.std:.4g}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.4g} %"
