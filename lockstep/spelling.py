"""Spelling: the known word that an unknown word probably stands for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most similar to a word, or None if none is similar.

    The time grows with the number of words and with their lengths.
    """
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)
