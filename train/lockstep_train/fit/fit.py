"""Training, in the order in which it happens: a step, an epoch, a fit."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.evaluate.evaluate import loss_and_score
from lockstep_train.fit.checkpoint.checkpoint import Checkpoint, Stateful, origin_of
from lockstep_train.fit.curves import Epoch, parting_epoch
from lockstep_train.fit.device.choice import device_of
from lockstep_train.fit.keeper import Clock, Keeper
from lockstep_train.fit.learner import Learner
from lockstep_train.fit.randomness import RandomStream
from lockstep_train.fit.tensors import FitTensors, SplitTensors
from lockstep_train.fit.threads import computing_with, threads_for
from lockstep_train.network.network import Network
from lockstep_train.network.norm import clip_norms

Told = Callable[[Epoch], None]


class Diverged(InvalidSetting):
    """The settings let the loss grow until it was no finite number."""


@dataclass(frozen=True)
class Fit:
    """A fitted network and how it came to be.

    Attributes:
        network: with the weights of the best epoch, in eval mode, on the CPU.
        configuration: what it was fitted with, the seed included.
        history: the training curves.
        best_epoch: number of the epoch with the lowest validation loss.
        parting_epoch: where the curves part, or None where they do not (`fit.curves`).
        stopped_early: the validation loss had not improved for ``patience`` epochs.
        interrupted: a person stopped it; the best epoch until then is kept.
        seconds: it took, those before it was resumed included.
        threads: torch computed with.
        members: networks that the fitted one is made of.
        device: ``cpu`` or ``cuda``.
        precision: ``float32``, or ``bfloat16`` where matrix products were computed in it.
        processes: that fitted together.
        leads: whether this process is the one that writes; the only one, or the first.
    """

    network: Network
    configuration: Configuration
    history: tuple[Epoch, ...]
    best_epoch: int
    parting_epoch: int | None
    stopped_early: bool
    interrupted: bool
    seconds: float
    threads: int
    members: int = 1
    device: str = "cpu"
    precision: str = "float32"
    processes: int = 1
    leads: bool = True

    @property
    def best(self) -> Epoch:
        """The epoch whose weights the network has."""
        return self.history[self.best_epoch - 1]

    @property
    def score_name(self) -> str:
        """What an epoch's score is: an accuracy, or ``rmse`` in the target's own units."""
        if self.network.task == "regression":
            return "rmse"
        balanced = self.configuration.training.class_weight == "balanced"
        return "balanced accuracy" if balanced else "accuracy"


def train_step(learner: Learner, batch: SplitTensors, size: int) -> Tensor:
    """Learn from one batch, and return the loss that was learned from.

    Args:
        learner: changed in place.
        batch: this process's rows of the batch.
        size: number of the batch's rows, those of all processes.
    """
    learner.optimizer.zero_grad()
    outputs = learner.module(batch.features, prepared=batch.prepared)
    loss = learner.loss(outputs, batch.targets, batch.weights)
    if len(batch) != size:  # the mean over processes is then the mean over the batch's rows
        loss = loss * (len(batch) * learner.device.ranks / size)
    learner.device.backward(loss)
    if learner.gradient_clip:
        learner.optimizer.bound_gradients(learner.gradient_clip)
    learner.optimizer.step()
    learner.schedule.step()
    if learner.max_norm:
        clip_norms(learner.network, learner.max_norm)
    if learner.average is not None:
        learner.average.update()
    return loss.detach()


def train_epoch(learner: Learner, rows: SplitTensors) -> float:
    """Learn from every row once, and return the mean loss that was learned from."""
    learner.module.train()
    with learner.masks.drawn():
        losses = [train_step(learner, *batch) for batch in learner.batches_of(rows)]
    return torch.stack(losses).mean().item()


def fit(
    configuration: Configuration,
    dataset: Dataset,
    *,
    on_epoch: Told | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Fit:
    """Fit a network to the training split and keep the epoch that is best on the validation split.

    On the CPU the same configuration and dataset give the same weights, bit for bit, on the same
    machine, whatever else draws random numbers, and however often the fit was interrupted and
    resumed. The caller's random state and threads are left as they were. Ctrl-C ends the fit and
    keeps what it has. Under ``torchrun`` all processes fit together, each with its share of every
    batch, and end with the same network.

    Args:
        configuration: the network and how it is trained.
        dataset: its test split is not looked at.
        on_epoch: is told of each epoch when it is over, in the leading process.
        checkpoint: a folder in which the fit is kept while it goes on.
        resume: go on where the checkpoint ends, instead of beginning anew and replacing it.

    Raises:
        Diverged: a loss is not a finite number.
        InvalidSetting: a device that is not there, settings that do not go with the data, a
            checkpoint of another fit, or none to resume from.
        Unreadable: the checkpoint is missing or damaged.
        KeyboardInterrupt: before the first epoch was over.
    """
    if resume and checkpoint is None:
        raise InvalidSetting("To resume, name the folder of the checkpoint.")
    clock, training = Clock(), configuration.training
    device, keeper = device_of(training), Keeper(training.epochs, training.patience)
    masks = RandomStream(training.seed, device.torch_device)
    with masks.drawn():
        network = Network.of(configuration, dataset)
    threads = threads_for(training, network)
    fitted = copy.deepcopy(network)  # neither wrapped nor moved: it gets the best weights
    with computing_with(threads):
        parts = FitTensors.of(dataset, network, training, device.torch_device)
        learner = Learner.of(network, configuration, len(parts.train), masks, device)
        after_epoch = [on_epoch] if on_epoch is not None and device.leads else []
        if checkpoint is not None:
            origin = origin_of(configuration, dataset, device, threads)
            kept: dict[str, Stateful] = {"learner": learner, "keeper": keeper, "clock": clock}
            file = Checkpoint(checkpoint, origin, kept, device)
            if resume:
                file.resume()
            after_epoch.insert(0, lambda _: file.keep(over=keeper.over))
        interrupted = _train_epochs(learner, parts, keeper, after_epoch)
    keeper.restore(fitted)
    history = tuple(keeper.history)
    return Fit(
        network=fitted,
        configuration=configuration,
        history=history,
        best_epoch=keeper.best_epoch,
        parting_epoch=parting_epoch(history, training.parting_tolerance),
        stopped_early=keeper.stopped_early and not interrupted,
        interrupted=interrupted,
        seconds=clock.seconds,
        threads=threads,
        members=configuration.network.members,
        device=device.name,
        precision=device.precision,
        processes=device.ranks,
        leads=device.leads,
    )


def _train_epochs(
    learner: Learner, parts: FitTensors, keeper: Keeper, after_epoch: Sequence[Told]
) -> bool:
    """Train epoch after epoch until the fit is over, and return whether a person ended it."""
    try:
        while not keeper.over:
            epoch = _epoch(len(keeper.history) + 1, learner, parts)
            keeper.take(epoch, learner.measured)
            for told in after_epoch:
                told(epoch)
    except KeyboardInterrupt:
        if not keeper.history:
            raise
        return True
    return False


def _epoch(number: int, learner: Learner, parts: FitTensors) -> Epoch:
    """Train for an epoch, then measure both splits; what the leading process measures counts."""
    started = time.perf_counter()
    learning_rate = learner.schedule.rate
    learned = train_epoch(learner, parts.train)
    measured = (learned, *_measured(learner, parts)) if learner.device.leads else ()
    learned, train_loss, train_score, validation_loss, validation_score = learner.device.agreed(
        measured
    )
    if not all(map(math.isfinite, (learned, train_loss, validation_loss))):
        raise Diverged(
            f"Training diverged at epoch {number}: the loss is no finite number. Lower "
            f"training.learning_rate below {learning_rate:g}, or bound the gradient by "
            "training.gradient_clip."
        )
    return Epoch(
        number=number,
        learning_rate=learning_rate,
        train_loss=train_loss,
        validation_loss=validation_loss,
        train_score=train_score,
        validation_score=validation_score,
        seconds=time.perf_counter() - started,
    )


def _measured(learner: Learner, parts: FitTensors) -> tuple[float, ...]:
    return tuple(
        figure
        for rows in (parts.sample, parts.validation)
        for figure in loss_and_score(
            learner.measured, rows.features, rows.targets, rows.weights, prepared=rows.prepared
        )
    )
