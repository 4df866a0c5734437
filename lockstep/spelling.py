"""Spelling: which known word was meant by one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like a word, None where none is near.

    The time that it takes grows with the length of the words and with their number.
    """
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)
