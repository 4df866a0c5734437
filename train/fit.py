"""Training, in the order in which it happens: a step, an epoch, a fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lockstep.errors import InvalidSetting
from train.configuration.configuration import Configuration
from train.configuration.training import TrainingConfiguration
from train.curves import Epoch, parting_epoch
from train.data.dataset import Dataset, Split
from train.evaluate import loss_and_score
from train.network.network import Network
from train.network.standardisation import Rescaling
from train.optimiser import adam, schedule
from train.randomness import Batches, RandomStream

Loss = Callable[[Tensor, Tensor], Tensor]


class Diverged(InvalidSetting):
    """The settings let the loss grow until it was no finite number."""


@dataclass(frozen=True)
class Fit:
    """A fitted network and how it came to be.

    Attributes:
        network: with the weights of the best epoch, in eval mode.
        configuration: what it was fitted with, the seed included.
        history: the training curves.
        best_epoch: number of the epoch with the lowest validation loss.
        parting_epoch: where the curves part, or None where they do not (`train.curves`).
        stopped_early: the validation loss had not improved for ``patience`` epochs.
        interrupted: a person stopped it; the best epoch until then is kept.
        seconds: it took.
        threads: torch computed with.
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

    @property
    def best(self) -> Epoch:
        """The epoch whose weights the network has."""
        return self.history[self.best_epoch - 1]

    @property
    def score_name(self) -> str:
        """What an epoch's score is: ``accuracy``, or ``rmse`` in the target's own units."""
        return "accuracy" if self.network.task == "classification" else "rmse"


@dataclass(frozen=True)
class Rows:
    """A split as the loss wants it: targets ``[n]`` as indices, or ``[n, 1]`` standardised."""

    features: Tensor
    targets: Tensor

    @classmethod
    def of(cls, split: Split, network: Network) -> Rows:
        """The rows of a split for a network, whose buffers standardise a regression's target."""
        targets = torch.tensor(split.targets)
        if isinstance(network.answer, Rescaling):
            targets = ((targets - network.answer.mean) / network.answer.scale).unsqueeze(1)
        return cls(torch.tensor(split.features), targets)


@dataclass
class Learner:
    """The network and everything that changes it."""

    network: Network
    loss: Loss
    optimizer: Optimizer
    schedule: LRScheduler
    gradient_clip: float
    batches: Batches
    masks: RandomStream


def train_step(learner: Learner, features: Tensor, targets: Tensor) -> Tensor:
    """Learn from one batch, and return the loss that was learned from."""
    learner.optimizer.zero_grad(set_to_none=True)
    loss = learner.loss(learner.network(features), targets)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    if learner.gradient_clip:
        nn.utils.clip_grad_norm_(learner.network.parameters(), learner.gradient_clip)
    learner.optimizer.step()
    learner.schedule.step()
    return loss.detach()


def train_epoch(learner: Learner, rows: Rows) -> float:
    """Learn from every row once, and return the mean loss that was learned from."""
    learner.network.train()
    with learner.masks.drawn():
        losses = [
            train_step(learner, rows.features[batch], rows.targets[batch])
            for batch in learner.batches
        ]
    return torch.stack(losses).mean().item()


def fit(
    configuration: Configuration,
    dataset: Dataset,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Fit a network to the training split and keep the epoch that is best on the validation split.

    The same configuration and dataset give the same weights, bit for bit, on the same machine,
    whatever else draws random numbers. The caller's random state and threads are left as they were.
    Ctrl-C ends the fit and keeps what it has.

    Args:
        configuration: the network and how it is trained.
        dataset: its test split is not looked at.
        on_epoch: is told of each epoch when it is over.

    Raises:
        Diverged: a loss is not a finite number.
        KeyboardInterrupt: before the first epoch was over.
    """
    training = configuration.training
    started = time.perf_counter()
    with _threads(training.threads):
        learner = _learner(configuration, dataset)
        network = learner.network
        train, validation = Rows.of(dataset.train, network), Rows.of(dataset.validation, network)
        keeper = _Keeper(network)
        try:
            while len(keeper.history) < training.epochs and not keeper.stalled(training.patience):
                epoch = _epoch(len(keeper.history) + 1, learner, train, validation)
                keeper.take(epoch)
                if on_epoch is not None:
                    on_epoch(epoch)
            interrupted = False
        except KeyboardInterrupt:
            if not keeper.history:
                raise
            interrupted = True
        keeper.restore()
    return Fit(
        network=network,
        configuration=configuration,
        history=tuple(keeper.history),
        best_epoch=keeper.best_epoch,
        parting_epoch=parting_epoch(keeper.history, training.parting_tolerance),
        stopped_early=not interrupted and len(keeper.history) < training.epochs,
        interrupted=interrupted,
        seconds=time.perf_counter() - started,
        threads=training.threads,
    )


def _epoch(number: int, learner: Learner, train: Rows, validation: Rows) -> Epoch:
    """Train for an epoch, then measure both splits."""
    started = time.perf_counter()
    learning_rate = float(learner.schedule.get_last_lr()[0])
    learned = train_epoch(learner, train)
    train_loss, train_score = loss_and_score(learner.network, train.features, train.targets)
    validation_loss, validation_score = loss_and_score(
        learner.network, validation.features, validation.targets
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


class _Keeper:
    """Keeps the curves, and the weights of the epoch with the lowest validation loss."""

    def __init__(self, network: Network) -> None:
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self._network = network
        self._lowest = math.inf
        self._weights: dict[str, Tensor] = {}

    def take(self, epoch: Epoch) -> None:
        """Add an epoch that is over."""
        if epoch.validation_loss < self._lowest:
            self._lowest, self.best_epoch = epoch.validation_loss, epoch.number
            self._weights = {
                name: value.clone() for name, value in self._network.state_dict().items()
            }
        self.history.append(epoch)

    def stalled(self, patience: int) -> bool:
        """Whether as many epochs as the patience lasts have passed since the best one."""
        return bool(patience) and len(self.history) - self.best_epoch >= patience

    def restore(self) -> None:
        """Give the network the best epoch's weights, for good: in eval mode."""
        self._network.load_state_dict(self._weights)
        self._network.eval()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _learner(configuration: Configuration, dataset: Dataset) -> Learner:
    training = configuration.training
    stream = RandomStream(training.seed)
    with stream.drawn():
        network = Network.of(configuration, dataset)
    batches = Batches(
        len(dataset.train),
        training.batch_size,
        seed=training.seed,
        batch_norm=configuration.network.batch_norm,
    )
    optimizer = adam(network, training)
    return Learner(
        network=network,
        loss=_loss(network, training),
        optimizer=optimizer,
        schedule=schedule(optimizer, training, steps=training.epochs * len(batches)),
        gradient_clip=training.gradient_clip,
        batches=batches,
        masks=stream,
    )


def _loss(network: Network, training: TrainingConfiguration) -> Loss:
    if network.task == "regression":
        return functional.mse_loss
    return partial(functional.cross_entropy, label_smoothing=training.label_smoothing)
