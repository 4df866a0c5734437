"""A process of a study: it takes trials until there are none left to take."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event, Semaphore
from typing import Any

import numpy as np
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from lockstep_train.data.dataset import Dataset
from lockstep_train.tune.objective import GIVEN, QUEUED, Objective, pruner
from lockstep_train.tune.space.space import Space
from lockstep_train.tune.study import Store

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
TAKEN = (*FINISHED, TrialState.RUNNING, TrialState.WAITING)

RANDOM_TRIALS = 10
"""Trials before the sampler models what it saw."""


@dataclass(frozen=True)
class SearchTask:
    """What every process of a study is given.

    Attributes:
        store: where the study is kept.
        identity: what it is about.
        space: what is searched.
        datasets: one, or one for each fold.
        trials: the study ends when all processes have finished so many; None for a grid.
        ends_at: time of `time.time` after which no trial is started; None where there is none.
    """

    store: Store
    identity: Mapping[str, Any]
    space: Space
    datasets: tuple[Dataset, ...]
    trials: int | None
    ends_at: float | None


def search(
    task: SearchTask,
    worker: int,
    *,
    ticket: Callable[[], bool],
    stopped: Callable[[], bool],
    on_trial: Callable[[FrozenTrial], None],
) -> None:
    """Take trials until the study has enough, the grid is done, or a person ends it.

    What is suggested to a trial follows from the seed and the trials that are finished: a study
    that was interrupted goes on as it would have.

    Args:
        task: the study.
        worker: number of this process, from 0.
        ticket: takes one of the trials that this run may still start; False where there is none.
        stopped: whether a person wants the study to end.
        on_trial: is told of each trial that this process finished.

    Raises:
        KeyboardInterrupt: a person ended it; the running trial counts as failed.
    """
    objective = Objective(task.space, task.datasets, stopped)
    rule = pruner(task.space, len(task.datasets))
    with task.store.opened(task.identity, rule) as study:
        while not stopped() and not _late(task) and ticket() and _is_left(study, task):
            seed = (task.space.base.training.seed, worker, count(study, FINISHED))
            study.sampler = TPESampler(
                seed=int(np.random.SeedSequence(seed).generate_state(1)[0]),
                n_startup_trials=RANDOM_TRIALS,
            )
            study.optimize(objective, n_trials=1, callbacks=[lambda _, trial: on_trial(trial)])


def search_in_process(
    task: SearchTask, worker: int, tickets: Semaphore, stop: Event, channel: Connection
) -> None:
    """`search` in a process of its own; finished trials and what failed go through the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and sets the event
    try:
        search(
            task,
            worker,
            ticket=lambda: tickets.acquire(block=False),
            stopped=stop.is_set,
            on_trial=channel.send,
        )
    except KeyboardInterrupt:
        return
    except Exception as error:
        error.add_note(traceback.format_exc())
        channel.send(error)
        raise SystemExit(1) from error
    finally:
        channel.close()


def _late(task: SearchTask) -> bool:
    return task.ends_at is not None and time.time() >= task.ends_at


def count(study: Study, states: tuple[TrialState, ...]) -> int:
    """How many trials of a study are in one of these states."""
    return len(study.get_trials(deepcopy=False, states=states))


def queue_given(study: Study, space: Space) -> None:
    """Queue the configuration that was given, where no finished or queued trial has it."""
    tried = study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.WAITING))
    if not any(trial.user_attrs.get(GIVEN) for trial in tried):
        study.enqueue_trial(space.given(), user_attrs={GIVEN: True, QUEUED: True})


def _is_left(study: Study, task: SearchTask) -> bool:
    """Whether there is a trial to start; of a grid, the next combination is queued."""
    if task.trials is not None:
        return count(study, FINISHED) < task.trials
    left = _untried(study, task.space)
    if left is not None:
        study.enqueue_trial(left, user_attrs={QUEUED: True})
    return left is not None or count(study, (TrialState.WAITING,)) > 0


def _untried(study: Study, space: Space) -> dict[str, Any] | None:
    """The first combination of a grid that nobody has tried or is trying."""
    taken = {
        tuple(sorted((trial.system_attrs.get("fixed_params") or trial.params).items()))
        for trial in study.get_trials(deepcopy=False, states=TAKEN)
        if not trial.user_attrs.get(GIVEN)
    }
    for combination in space.combinations():
        if tuple(sorted(combination.items())) not in taken:
            return combination
    return None
