"""Lightning, as its documentation shows: a LightningModule, a Trainer, batches by DataLoader."""

from __future__ import annotations

import logging
import warnings

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.training.arms.network import network_of
from benchmarks.training.cases import LEARNING_RATE, Case
from benchmarks.training.lap import Lap


class Module(LightningModule):
    """The network, its loss and its optimiser."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network = network_of(case)

    def training_step(self, batch: tuple[Tensor, Tensor], _batch_idx: int) -> Tensor:
        """The loss of one batch."""
        rows, classes = batch
        return functional.cross_entropy(self.network(rows), classes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Torch's default AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE)


class Laps(Callback):
    """Each epoch is a lap."""

    def __init__(self, lap: Lap) -> None:
        self._lap = lap

    def on_train_epoch_start(self, *_: object) -> None:
        """Wait until the epoch is asked for."""
        self._lap.__enter__()

    def on_train_epoch_end(self, *_: object) -> None:
        """It is over."""
        self._lap.__exit__(None, None, None)


def train(case: Case, lap: Lap) -> None:
    """Train for as many epochs as are asked for; without logs, checkpoints and progress bar."""
    warnings.simplefilter("ignore")  # of the workers that the loader might have
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = TensorDataset(*map(torch.from_numpy, case.data()))
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Laps(lap)],
    )
    trainer.fit(Module(case), DataLoader(data, batch_size=case.batch_size, shuffle=True))
