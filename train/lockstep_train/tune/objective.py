"""A trial: a configuration of the space is fitted, and judged by its validation loss alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from optuna.exceptions import TrialPruned
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.trial import Trial

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.fit.curves import Epoch
from lockstep_train.fit.fit import Diverged, Fit, fit
from lockstep_train.tune.space.space import Space

GIVEN = "given"
"""Marks the trial whose configuration is the base itself, and no point near it."""

QUEUED = "queued"
"""Marks the trials of a grid: each is a combination that was put into the queue."""

MOST_REPORTS = 20
"""A trial tells the database of so many epochs: each costs a transaction."""

UNJUDGED_SHARE = 0.3
"""Share of the epochs before which no trial is ended: the learning rate still rises."""

TRIALS_BEFORE_PRUNING = 5


@dataclass(frozen=True)
class Objective:
    """What a study minimises: the validation loss of the best epoch, or its mean over folds.

    Attributes:
        space: makes a configuration of what the sampler suggests.
        datasets: one, or one for each fold; their test splits are not looked at.
        stopped: whether a person wants the study to end; is asked after each epoch.
    """

    space: Space
    datasets: Sequence[Dataset]
    stopped: Callable[[], bool]

    def __call__(self, trial: Trial) -> float:
        """Fit a trial's configuration, and return its loss.

        Raises:
            TrialPruned: it promises nothing, or diverged; ``ending`` among the trial's attributes
                says so in a sentence.
            KeyboardInterrupt: a person wants the study to end.
        """
        if self.space.is_grid and QUEUED not in trial.user_attrs:
            # Another process took the last combination between this one's look and its step.
            raise TrialPruned("The grid was done.")
        point = self.space.draw(trial)
        configuration = (
            self.space.base if trial.user_attrs.get(GIVEN) else self.space.configuration(point)
        )
        started = time.perf_counter()
        losses: list[float] = []
        epochs: list[int] = []
        try:
            for dataset in self.datasets:
                fitted = self._fit(trial, configuration, dataset)
                losses.append(fitted.best.validation_loss)
                epochs.append(fitted.best_epoch)
                if len(self.datasets) > 1:
                    self._report(trial, fmean(losses), len(losses), "folds")
        except Diverged as error:
            trial.set_user_attr("ending", str(error))
            raise TrialPruned(str(error)) from error
        finally:
            trial.set_user_attr("seconds", time.perf_counter() - started)
        trial.set_user_attr("best_epoch", round(fmean(epochs)))
        return fmean(losses)

    def _fit(self, trial: Trial, configuration: Configuration, dataset: Dataset) -> Fit:
        every = max(1, configuration.training.epochs // MOST_REPORTS)

        def on_epoch(epoch: Epoch) -> None:
            if self.stopped():
                raise KeyboardInterrupt
            if len(self.datasets) == 1 and epoch.number % every == 0:
                self._report(trial, epoch.validation_loss, epoch.number, "epochs")

        fitted = fit(configuration, dataset, on_epoch=on_epoch)
        # A fit keeps what it has when it is interrupted; half a fit is no trial.
        if fitted.interrupted:
            raise KeyboardInterrupt
        return fitted

    @staticmethod
    def _report(trial: Trial, loss: float, step: int, unit: str) -> None:
        trial.report(loss, step)
        if trial.should_prune():
            sentence = f"It was worse than the median of the trials before it after {step} {unit}."
            trial.set_user_attr("ending", sentence)
            raise TrialPruned(sentence)


def pruner(space: Space, folds: int) -> BasePruner:
    """Ends a trial whose best loss so far is worse than the median of the others' at that epoch.

    A grid is measured whole. The first trials are measured whole as well, among them the
    configuration that was given: so what is found is never worse than that on these rows.
    """
    if space.is_grid:
        return NopPruner()
    unjudged = 1 if folds > 1 else int(UNJUDGED_SHARE * space.base.training.epochs)
    return MedianPruner(n_startup_trials=TRIALS_BEFORE_PRUNING, n_warmup_steps=unjudged)
