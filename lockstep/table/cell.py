"""A cell of text, read in the same way for training and for scoring."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lockstep.artifact.columns import Column

# The characters that `str.strip` removes. polars is given them, since it strips fewer by default.
BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

Value = float | str | None


def is_blank(cells: Sequence[str]) -> bool:
    """Whether all cells of a line are blank; such a line is not a row."""
    return not any(map(str.strip, cells))


def number(word: str) -> float | None:
    """The number that a word spells, or None if it spells none.

    A number is written in ASCII digits with a decimal point and an exponent, or as ``inf``,
    ``infinity`` or ``nan`` in any case. A cast in polars accepts the same words.

    Args:
        word: without blanks around it.
    """
    if not _is_plain(word):
        return None
    try:
        return float(word)
    except ValueError:
        return None


def _is_plain(text: str) -> bool:
    """Whether a text has no underscore and is ASCII: Python reads 1_000 and foreign digits too."""
    return "_" not in text and text.isascii()


def read_cells(cells: Sequence[str], column: Column) -> Sequence[Value]:
    """Cells of one column as the raw values that a request would carry.

    A word that is not a number is kept as text; `lockstep.artifact.encoding.encode` refuses it.

    Args:
        cells: one for each row.
        column: its kind and its words for a missing value are used.

    Returns:
        A value for each cell, None if it is missing.
    """
    empty = None if column.blank_missing else ""
    if column.kind != "numeric":
        return [cell if cell.strip() else empty for cell in cells]
    marks = {word for word in column.missing_words if _is_value(number(word))}
    if not marks and _is_plain("".join(cells)):
        try:
            return list(map(float, cells))
        except ValueError:  # a blank cell, or a word
            pass
    return [_number_or_word(cell.strip(), marks, empty) for cell in cells]


def _is_value(found: float | None) -> bool:
    return found is not None and not math.isnan(found)


def _number_or_word(word: str, marks: set[str], empty: str | None) -> Value:
    if not word:
        return empty
    if word in marks:
        return None
    found = number(word)
    return word if found is None else found
