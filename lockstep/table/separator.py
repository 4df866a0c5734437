"""The separator of a delimited text, found from its beginning."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice

from lockstep.table.cell import is_blank

SEPARATORS = (",", ";", "\t", "|")
_SNIFFED_ROWS = 100
# Bounds the memory: blank lines are not counted as rows, and there may be any number of them.
_SNIFFED_LINES = 10_000


def find_separator(lines: Iterator[str], width: int | None) -> tuple[str, Iterator[str]]:
    """Find the separator that gives most of the first rows as many cells as the very first row.

    A tie goes to the separator that makes more cells, then to the first one of ``SEPARATORS``.

    Args:
        lines: with their line ends. They are read once, so they may come from a pipe.
        width: the number of columns, where it is known; a separator that gives it is preferred.

    Returns:
        The separator, and all lines from the first.
    """
    seen: list[str] = []

    def beginning() -> Iterator[str]:
        for place in range(_SNIFFED_LINES):
            if place == len(seen):
                line = next(lines, None)
                if line is None:
                    return
                seen.append(line)
            yield seen[place]

    def fit(separator: str) -> tuple[bool, int, int]:
        widths = _widths(beginning(), separator)
        first = widths[0] if widths else 1
        return first == width, widths.count(first) if first > 1 else 0, first

    return max(SEPARATORS, key=fit), chain(seen, lines)


def _widths(lines: Iterator[str], separator: str) -> list[int]:
    """The number of cells in each of the first rows, up to the first row that is not CSV."""
    rows = (row for row in csv.reader(lines, delimiter=separator, strict=True) if not is_blank(row))
    widths: list[int] = []
    # Under a wrong separator a quote may be misplaced. Under the right one the error comes later.
    with suppress(csv.Error):
        widths.extend(len(row) for row in islice(rows, _SNIFFED_ROWS))
    return widths
