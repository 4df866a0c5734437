"""The confusion of a classifier: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from lockstep_train.report.tables import SHOWN_LETTERS, ReportTable, one_line

MOST_TABULATED = 20
"""Classes up to which the confusion is a table of counts; beyond it is a map of colours."""

SHOWN_CLASSES = 100
SHOWN_CONFUSIONS = 20


@dataclass(frozen=True)
class Confusion:
    """How often each class was answered for each.

    Attributes:
        names: of the classes, as one line each.
        counts: ``[n_classes, n_classes]``, the rows of each true class by the answer.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, classes: Sequence[Any], targets: NDArray[Any], chosen: NDArray[Any]) -> Confusion:
        """Count answers.

        Args:
            classes: the labels.
            targets: ``[n]``, indices of the right classes.
            chosen: ``[n]``, indices of the answered ones.
        """
        counts = confusion_matrix(targets, chosen, labels=np.arange(len(classes)))
        return cls(tuple(one_line(label, SHOWN_LETTERS) for label in classes), counts)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of each true class's rows, the share that was answered as each class."""
        rows = self.counts.sum(axis=1, keepdims=True)
        shares: NDArray[np.float64] = self.counts / np.maximum(rows, 1)
        return shares

    @property
    def tabulated(self) -> bool:
        """Whether the classes are few enough for a table of counts."""
        return len(self.names) <= MOST_TABULATED

    def cells(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """For each true class its name, and for each answer the count and the share in percent."""
        percent = np.rint(100 * self.shares).astype(int)
        return [
            (name, list(zip(counts.tolist(), shares.tolist(), strict=True)))
            for name, counts, shares in zip(self.names, self.counts, percent, strict=True)
        ]

    def most_frequent(self) -> ReportTable:
        """The pairs of classes that are confused most often."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_CONFUSIONS]
        places = [divmod(int(place), len(self.names)) for place in order]
        rows = tuple(
            (
                self.names[true],
                self.names[answered],
                str(wrong[true, answered]),
                f"{100 * self.shares[true, answered]:.1f} %",
            )
            for true, answered in places
            if wrong[true, answered]
        )
        heads = ("true class", "was answered as", "rows", "of the class's rows")
        return ReportTable("The most frequent confusions", heads, rows, frozenset({0, 1}))

    def of_classes(self) -> tuple[ReportTable, int]:
        """Recall and precision of each class, the lowest recall first; how many are left out."""
        occur, answered = self.counts.sum(axis=1), self.counts.sum(axis=0)
        right = np.diagonal(self.counts)
        recall, precision = right / np.maximum(occur, 1), right / np.maximum(answered, 1)
        order = [i for i in np.argsort(recall, kind="stable") if occur[i]]
        rows = tuple(
            (self.names[i], str(occur[i]), f"{recall[i]:.3f}", f"{precision[i]:.3f}")
            for i in order[:SHOWN_CLASSES]
        )
        heads = ("class", "rows", "found among them (recall)", "right when answered (precision)")
        table = ReportTable("Classes on the test split, by recall", heads, rows, frozenset({0}))
        return table, len(order) - len(rows)
