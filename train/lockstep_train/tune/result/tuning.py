"""What a study found: its trials, the best configuration, what mattered and in which direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from optuna.importance import get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.tune.objective import GIVEN
from lockstep_train.tune.space.dimension import Choice
from lockstep_train.tune.space.space import Space

FEWEST_TRIALS = 8
"""Finished trials before anything is said about what mattered."""

CLEAR_RANK_CORRELATION = 0.3

Ending = Literal["finished", "pruned"]


@dataclass(frozen=True)
class Attempt:
    """One trial of a study that is over.

    Attributes:
        number: from 0, in the order in which the trials were started.
        ending: ``finished``, or ``pruned`` where it promised nothing or diverged.
        loss: validation loss of the best epoch, or its mean over the folds; None if pruned.
        point: what the study stores of its settings.
        values: its settings by their names.
        given: it is the configuration that was given.
        sentence: why it was pruned; empty if it was not.
        seconds: it took.
    """

    number: int
    ending: Ending
    loss: float | None
    point: Mapping[str, float | int | str]
    values: Mapping[str, Any]
    given: bool
    sentence: str
    seconds: float

    @classmethod
    def of(cls, trial: FrozenTrial, space: Space) -> Attempt:
        """A finished or pruned trial of Optuna's."""
        finished = trial.state == TrialState.COMPLETE
        return cls(
            number=trial.number,
            ending="finished" if finished else "pruned",
            loss=trial.value if finished else None,
            point=trial.params,
            values=space.values(trial.params),
            given=bool(trial.user_attrs.get(GIVEN)),
            sentence=trial.user_attrs.get("ending", ""),
            seconds=trial.user_attrs.get("seconds", 0.0),
        )


@dataclass(frozen=True)
class Influence:
    """How much one setting mattered, and in which direction.

    Attributes:
        name: of the setting, with its section.
        share: of all that mattered, between 0 and 1 (PED-ANOVA: Watanabe, Bansal and Hutter, 2023).
        direction: what to take, in a few words.
    """

    name: str
    share: float
    direction: str


@dataclass(frozen=True)
class Tuning:
    """A study as it stands.

    Attributes:
        name: of the study.
        storage: its address, without a password.
        space: what was searched.
        attempts: the trials that are over, in their order.
        influences: the settings, the most important first; empty with too few finished trials.
        folds: whose mean is the loss; 1 where it is the validation split's.
        interrupted: a person ended the run; the study can be continued.
    """

    name: str
    storage: str
    space: Space
    attempts: tuple[Attempt, ...]
    influences: tuple[Influence, ...]
    folds: int
    interrupted: bool

    @classmethod
    def of(
        cls, study: Study, storage: str, space: Space, *, folds: int, interrupted: bool
    ) -> Tuning:
        """What a study holds.

        Raises:
            InvalidSetting: no trial came to an end.
        """
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        attempts = tuple(Attempt.of(trial, space) for trial in trials if trial.params)
        if not any(attempt.ending == "finished" for attempt in attempts):
            last = next((attempt.sentence for attempt in reversed(attempts)), "")
            raise InvalidSetting(
                f"None of the {len(attempts)} trials of the study {study.study_name} came to its "
                f"end. {last}".rstrip()
            )
        return cls(
            name=study.study_name,
            storage=storage,
            space=space,
            attempts=attempts,
            influences=_influences(study, attempts, space),
            folds=folds,
            interrupted=interrupted,
        )

    @property
    def ranked(self) -> tuple[Attempt, ...]:
        """The finished trials, the lowest loss first."""
        return tuple(
            sorted(
                (attempt for attempt in self.attempts if attempt.loss is not None),
                key=lambda attempt: (attempt.loss, attempt.number),
            )
        )

    @property
    def best(self) -> Attempt:
        """The trial with the lowest loss."""
        return self.ranked[0]

    @property
    def given(self) -> Attempt | None:
        """The trial of the configuration that was given; None where it did not come to its end."""
        return next((attempt for attempt in self.ranked if attempt.given), None)

    @property
    def configuration(self) -> Configuration:
        """The configuration of the best trial."""
        if self.best.given:
            return self.space.base
        return self.space.configuration(self.best.point)


def _influences(study: Study, attempts: Sequence[Attempt], space: Space) -> tuple[Influence, ...]:
    finished = [attempt for attempt in attempts if attempt.loss is not None]
    varied = [
        dimension
        for dimension in space.dimensions
        if len({attempt.point[dimension.name] for attempt in finished}) > 1
    ]
    if len(finished) < FEWEST_TRIALS or not varied:
        return ()
    shares = get_param_importances(study, params=[dimension.name for dimension in varied])
    influences = [
        Influence(
            name=dimension.name,
            share=shares[dimension.name],
            direction=(
                _best_choice(dimension, finished)
                if isinstance(dimension, Choice)
                else _trend(dimension.name, finished)
            ),
        )
        for dimension in varied
    ]
    return tuple(sorted(influences, key=lambda influence: -influence.share))


def _trend(name: str, finished: Sequence[Attempt]) -> str:
    """Whether more of a number was better, by Spearman's rank correlation with the loss."""
    losses = [attempt.loss for attempt in finished]
    if len(set(losses)) == 1:
        return "no clear direction"
    values = [attempt.point[name] for attempt in finished]
    ranked = pl.DataFrame({"value": values, "loss": losses})
    correlation = float(ranked.select(pl.corr("value", "loss", method="spearman")).item())
    if abs(correlation) < CLEAR_RANK_CORRELATION:
        return "no clear direction"
    return "more is better" if correlation < 0 else "less is better"


def _best_choice(dimension: Choice, finished: Sequence[Attempt]) -> str:
    """The choice whose trials have the lowest median loss."""
    losses: dict[Any, list[float]] = {}
    for attempt in finished:
        losses.setdefault(attempt.point[dimension.name], []).append(attempt.loss or 0.0)
    best = min(losses, key=lambda choice: float(np.median(losses[choice])))
    return f"{best} is best"
