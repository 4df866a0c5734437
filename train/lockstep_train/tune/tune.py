"""A search for better settings, in one process or several; it can be interrupted and continued."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.folds.folds import judging_folds_of
from lockstep_train.tune.identity import identity_of
from lockstep_train.tune.result.tuning import Attempt, Tuning
from lockstep_train.tune.space.space import Space
from lockstep_train.tune.study import Store
from lockstep_train.tune.worker import (
    FINISHED,
    SearchTask,
    count,
    queue_given,
    search,
    search_in_process,
)

MOST_TRIALS = 2**30
"""What a semaphore can count to on every system."""


@dataclass(frozen=True)
class Plan:
    """How a study is run.

    Attributes:
        name: of the study.
        storage: address of a database; by default SQLite's ``.lockstep/studies/NAME.db``.
        trials: the study ends when it has so many; a grid ends when it is done.
        jobs: processes, each of which computes with the configuration's threads.
        folds: with 2 or more, a trial is judged by the mean of so many folds.
        limit_s: seconds after which no further trial is started.

    Raises:
        InvalidSetting: a number that makes no sense.
    """

    name: str
    storage: str | None = None
    trials: int = 50
    jobs: int = 1
    folds: int = 1
    limit_s: float | None = None

    def __post_init__(self) -> None:
        for word in ("trials", "jobs", "folds"):
            if getattr(self, word) < 1:
                raise InvalidSetting(f"{word} must be at least 1, got {getattr(self, word)}.")


def tune(
    configuration: Configuration,
    dataset: Dataset,
    plan: Plan,
    *,
    space: Space | None = None,
    on_trial: Callable[[Attempt], None] | None = None,
) -> Tuning:
    """Search for settings with a lower validation loss; the test split is not looked at.

    The first trial is the configuration itself. A study of the same name goes on where it was, and
    several machines may work at one study in a database that all of them reach.

    Args:
        configuration: where the search starts from; what is not varied is taken from it.
        dataset: its training and validation split.
        plan: how much is tried, where, and where it is kept.
        space: what is varied around the configuration; by default `Space.of`.
        on_trial: is told of each trial when it is over.

    Returns:
        The whole study, with what earlier runs and other machines added to it.

    Raises:
        InvalidSetting: a study of something else, or one in which no trial came to its end.
        Unreadable: the database does not answer.
        KeyboardInterrupt: before any trial was over.
    """
    space = space or Space.of(configuration, dataset)
    task = SearchTask(
        store=Store.of(plan.name, plan.storage),
        identity=identity_of(space, dataset, plan.folds),
        space=space,
        datasets=(
            judging_folds_of(configuration, dataset, plan.folds) if plan.folds > 1 else (dataset,)
        ),
        trials=None if space.is_grid else plan.trials,
        ends_at=None if plan.limit_s is None else time.time() + plan.limit_s,
    )
    with task.store.opened(task.identity, NopPruner()) as study:
        queue_given(study, space)
        # A grid ends by itself.
        left = MOST_TRIALS if space.is_grid else max(0, plan.trials - count(study, FINISHED))
        interrupted = _run(task, plan.jobs, _telling(on_trial, space), left=left)
        if interrupted and count(study, FINISHED) == 0:
            raise KeyboardInterrupt
        return Tuning.of(study, str(task.store), space, folds=plan.folds, interrupted=interrupted)


def _telling(
    on_trial: Callable[[Attempt], None] | None, space: Space
) -> Callable[[FrozenTrial], None]:
    def tell(trial: FrozenTrial) -> None:
        if on_trial is not None and trial.params:
            on_trial(Attempt.of(trial, space))

    return tell


def _run(task: SearchTask, jobs: int, tell: Callable[[FrozenTrial], None], *, left: int) -> bool:
    """Search until there is nothing left to try; whether a person ended it before."""
    if jobs > 1:
        return _run_processes(task, jobs, tell, left=left)
    tickets = iter(range(left))
    try:
        search(
            task,
            0,
            ticket=lambda: next(tickets, None) is not None,
            stopped=lambda: False,
            on_trial=tell,
        )
    except KeyboardInterrupt:
        return True
    return False


def _run_processes(
    task: SearchTask, jobs: int, tell: Callable[[FrozenTrial], None], *, left: int
) -> bool:
    context = _context()
    tickets, stop = context.Semaphore(left), context.Event()
    channels: list[Connection] = []
    processes: list[BaseProcess] = []
    interrupted = False
    try:
        for worker in range(jobs):
            receiving, sending = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(
                target=search_in_process, args=(task, worker, tickets, stop, sending)
            )
            process.start()
            sending.close()
            channels.append(receiving)
            processes.append(process)
        try:
            _listen(channels, tell)
        except KeyboardInterrupt:
            interrupted = True
            stop.set()
            _listen(channels, tell)
    finally:
        stop.set()
        for process in processes:
            process.join()
    _check_ends(processes)
    return interrupted


def _context() -> ForkServerContext | SpawnContext:
    """How a process is started: a fork of this one would share torch's threads, which die in it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # The server imports what a worker needs, once for all of them.
    context.set_forkserver_preload([search_in_process.__module__])
    return context


def _listen(channels: Sequence[Connection], tell: Callable[[FrozenTrial], None]) -> None:
    """Hear of each trial until every channel is closed.

    Raises:
        Exception: what failed in one of the processes.
    """
    open_channels = [channel for channel in channels if not channel.closed]
    while open_channels:
        for channel in wait(open_channels):
            if not isinstance(channel, Connection):
                continue
            try:
                said: Any = channel.recv()
            except EOFError:
                channel.close()
                open_channels.remove(channel)
                continue
            if isinstance(said, Exception):
                raise said
            tell(said)


def _check_ends(processes: Sequence[BaseProcess]) -> None:
    killed = [process.exitcode for process in processes if process.exitcode]
    if killed:
        raise InvalidSetting(
            f"{len(killed)} of the study's {len(processes)} processes ended without a word (code "
            f"{killed[0]}), most likely for want of memory: take fewer jobs. What they finished is "
            "kept, and the same command goes on."
        )
