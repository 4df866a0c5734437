"""Shares: how large the parts of a source are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

from lockstep.errors import InvalidSetting

AUTO = "auto"

MOST_VALIDATION = 6_000
"""Most validation rows by default, before rounding: they tell an accuracy of 0.9 to ± 0.004."""

_FORM = re.compile(r"[\d.]+(/[\d.]+)+")


@dataclass(frozen=True)
class Shares:
    """Shares of the three parts, which add up to 1; the test's is 0 where a file has its rows."""

    train: float
    validation: float
    test: float

    @classmethod
    def given(cls, split: str) -> bool:
        """Whether a setting states shares, and no column."""
        return split == AUTO or _FORM.fullmatch(split) is not None

    @classmethod
    def of(cls, split: str, rows: int, *, tested: bool) -> Self:
        """Read ``60/20/20``.

        Args:
            split: the three shares, of whatever sum; two where a file has the test rows; or
                ``auto``.
            rows: that are to be shared out.
            tested: whether a file has the test rows; the test's share then goes to the training.

        Raises:
            InvalidSetting: other than three shares above 0.
        """
        if split == AUTO:
            test = 0.0 if tested else 0.2
            validation = min(0.2, MOST_VALIDATION / rows)
            return cls(1 - validation - test, validation, test)
        try:
            parts = [float(part) for part in split.split("/")]
        except ValueError:
            parts = []
        if tested and len(parts) == 2:
            parts.append(0.0)
        positive = all(share > 0 for share in parts[:2]) and all(map(math.isfinite, parts))
        if len(parts) != 3 or not positive or (not tested and not parts[2] > 0):
            raise InvalidSetting(
                "data.split must be the shares of training, validation and test, such as "
                f"60/20/20, got {split!r}; for a separate test file two shares are enough."
            )
        train, validation, test = parts
        total = train + validation + test
        if tested:
            return cls((train + test) / total, validation / total, 0.0)
        return cls(train / total, validation / total, test / total)
