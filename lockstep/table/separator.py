"""The separator of a delimited text, found from its beginning."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice

from lockstep.table.cell import is_blank

SEPARATORS = (",", ";", "\t", "|")
_SNIFFED_ROWS = 100
# A text of nothing but blank lines must not be held in memory to its end.
_SNIFFED_LINES = 10_000


def find_separator(lines: Iterator[str], width: int | None) -> tuple[str, Iterator[str]]:
    """Find the separator that cuts most of the first rows as it cuts the very first.

    Among equals it is the one that makes more cells, then the first of ``SEPARATORS``.

    Args:
        lines: with their ends; a pipe's as well, since they are taken once.
        width: number of the columns, where it is known: a separator that gives it comes first.

    Returns:
        the separator, and all lines from the first.
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
    """How many cells each of the first rows has, up to the first that is not CSV."""
    rows = (row for row in csv.reader(lines, delimiter=separator, strict=True) if not is_blank(row))
    widths: list[int] = []
    # A wrong separator may find quotes where none can stand; the right one's error is named later.
    with suppress(csv.Error):
        widths.extend(len(row) for row in islice(rows, _SNIFFED_ROWS))
    return widths
