"""A chunk of a table to be scored: a few rows with their places in the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.errors import SHOWN_PROBLEMS, InvalidInstances, Unreadable

CHUNK_ROWS = 4096

Note = Callable[[str], None]


@dataclass(frozen=True)
class Chunk:
    """A few rows of a table.

    Attributes:
        places: the place of each row in the file: its line, or its number from 1.
        instances: the rows' raw values in the order of the columns.
    """

    places: Sequence[int]
    instances: list[list[Any]]


def located(path: Path, place: str, places: Sequence[int], error: InvalidInstances) -> Unreadable:
    """The same problems, located in the file instead of by the index of the instance.

    Args:
        path: of the table.
        place: the word for a place: ``line`` or ``row``.
        places: the place of each instance.
        error: the problems.
    """
    sentences = [
        f"{path}, {place} {places[problem.instance]}"
        f"{f', column {problem.column}' if problem.column else ''}: {problem.message}"
        for problem in error.problems[:SHOWN_PROBLEMS]
    ]
    more = len(error.problems) - SHOWN_PROBLEMS
    rest = f"; and at least {more} more" if more > 0 else ""
    return Unreadable(f"{'; '.join(sentences)}{rest}.")
