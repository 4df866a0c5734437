"""A network's answers as the columns of a table: CSV here, Arrow in the service."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from lockstep.artifact.manifest import Label, Manifest
from lockstep.engine.engine import Outputs


def answer_columns(manifest: Manifest, answers: Outputs) -> list[str]:
    """Names of the columns that :func:`answer_cells` fills.

    Args:
        manifest: of the network.
        answers: the network's outputs, each ``[n, ...]``.
    """
    if manifest.task == "classification":
        return ["label", *(f"probability_{label_text(label)}" for label in manifest.classes or ())]
    names: list[str] = []
    for output, answer in zip(manifest.outputs, answers, strict=True):
        width = math.prod(answer.shape[1:])
        names += [output.name] if width == 1 else [f"{output.name}_{i}" for i in range(width)]
    return names


def answer_cells(manifest: Manifest, answers: Outputs) -> Iterator[list[str]]:
    """The answers as text: one list of cells for each row.

    A float is written as the shortest decimal that reads back to the same bits in its own type.

    Args:
        manifest: of the network.
        answers: the network's outputs, each ``[n, ...]``.
    """
    columns = [column for answer in answers for column in _text(answer)]
    if manifest.task == "classification":
        labels = [label_text(label) for label in manifest.classes or ()]
        columns.insert(0, [labels[i] for i in answers[0].argmax(axis=1)])
    yield from map(list, zip(*columns, strict=True))


def label_text(label: Label) -> str:
    """A class's label as text for a cell or a column name; a boolean is ``true`` or ``false``."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _text(answer: NDArray[Any]) -> Iterator[list[str]]:
    """One list of cells for each column of an output."""
    flat = answer.reshape(len(answer), -1)
    for j in range(flat.shape[1]):
        if flat.dtype.kind == "b":
            yield ["true" if value else "false" for value in flat[:, j]]
        else:
            # str of a numpy float gives the shortest decimal (Steele and White's Dragon4).
            yield [str(value) for value in flat[:, j]]
