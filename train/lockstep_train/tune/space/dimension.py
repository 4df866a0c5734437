"""One thing that a study varies, and the form in which the study stores it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from optuna.trial import Trial

Stored = float | int | str
"""What the study's database holds for a value."""


@dataclass(frozen=True)
class Range:
    """Any number between two.

    Attributes:
        name: of the setting, with its section: ``training.learning_rate``.
        low: the smallest number.
        high: the largest one.
        log: whether a factor counts, instead of a difference; ``low`` is > 0 then.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Trial) -> Stored:
        """What the study's sampler suggests to a trial."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def stored(self, value: Any) -> Stored:
        """The nearest number within the range."""
        return min(max(float(value), self.low), self.high)

    def value(self, stored: Stored) -> float:
        """The number, in 3 significant digits: a settings file is read by people."""
        return float(f"{stored:.3g}")


@dataclass(frozen=True)
class Ladder:
    """One of a few whole numbers whose order counts.

    Attributes:
        name: of the setting, with its section.
        values: ascending; the study stores the place of the value, from 0.
    """

    name: str
    values: tuple[int, ...]

    @classmethod
    def through(cls, name: str, values: Sequence[int], configured: int) -> Self:
        """A ladder that has the configured number among its values."""
        return cls(name, tuple(sorted({*values, configured})))

    def suggest(self, trial: Trial) -> Stored:
        """What the study's sampler suggests to a trial."""
        return trial.suggest_int(self.name, 0, len(self.values) - 1)

    def stored(self, value: Any) -> Stored:
        """The place of the nearest value, nearness being a factor."""
        return min(
            range(len(self.values)),
            key=lambda place: abs(math.log(max(value, 1) / self.values[place])),
        )

    def value(self, stored: Stored) -> int:
        """The value at a place."""
        return self.values[int(stored)]


@dataclass(frozen=True)
class Choice:
    """One of a few values without an order; the study stores the value in JSON.

    Attributes:
        name: of the setting, with its section.
        values: what can be chosen.
    """

    name: str
    values: tuple[Any, ...]

    def suggest(self, trial: Trial) -> Stored:
        """What the study's sampler suggests to a trial."""
        return trial.suggest_categorical(self.name, [self.stored(value) for value in self.values])

    def stored(self, value: Any) -> str:
        """The value's text."""
        return value if isinstance(value, str) else json.dumps(value)

    def value(self, stored: Stored) -> Any:
        """The value of a text."""
        return next(value for value in self.values if self.stored(value) == stored)


Dimension = Range | Ladder | Choice
