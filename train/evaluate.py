"""What a network is worth on a split; the one owner of the switch between the modes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from train.data.dataset import Split
from train.network.network import Network
from train.network.standardisation import Rescaling

EVALUATION_ROWS = 8192
"""Rows of one evaluation batch: large, because eval mode has no reason to keep it small."""


@dataclass(frozen=True)
class ClassificationMetrics:
    """Measured on one split in eval mode.

    Attributes:
        rows: how many rows were measured.
        accuracy: share of the rows whose most probable class is the right one.
        log_loss: mean negative log probability of the right class, in nats.
        macro_f1: F1 of each class that occurs or is predicted, averaged with equal weight.
    """

    rows: int
    accuracy: float
    log_loss: float
    macro_f1: float

    def as_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


@dataclass(frozen=True)
class RegressionMetrics:
    """Measured on one split in eval mode, in the target's own units.

    Attributes:
        rows: how many rows were measured.
        rmse: root of the mean squared error.
        mae: mean absolute error.
        r2: share of the target's variance that is explained; None where the split has no variance.
    """

    rows: int
    rmse: float
    mae: float
    r2: float | None

    def as_dict(self) -> dict[str, float]:
        """The figures by name, without those that are undefined."""
        return {name: value for name, value in asdict(self).items() if value is not None}


Metrics = ClassificationMetrics | RegressionMetrics


@contextmanager
def inference(module: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards each module's training flag is what it was."""
    flags = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for child, training in flags:
            child.training = training


def outputs(network: Network, features: Tensor) -> Tensor:
    """The network's outputs ``[n, n_outputs]`` for ``[n, d]`` features, in eval mode."""
    with inference(network):
        return torch.cat([network(rows) for rows in torch.split(features, EVALUATION_ROWS)])


def loss_and_score(network: Network, features: Tensor, targets: Tensor) -> tuple[float, float]:
    """One point of the training curves: loss and accuracy, or loss and rmse.

    The loss is the plain one, without label smoothing: cross-entropy in nats, or the mean squared
    error of the standardised target; the rmse is in the target's own units.

    Args:
        network: is evaluated in eval mode, whatever mode it is in.
        features: ``[n, d]``.
        targets: class indices ``[n]``, or standardised targets ``[n, 1]``.
    """
    predicted = outputs(network, features).double()
    if isinstance(network.answer, Rescaling):
        loss = functional.mse_loss(predicted, targets.double()).item()
        return loss, loss**0.5 * network.answer.scale.item()
    right = predicted.argmax(dim=1) == targets
    return functional.cross_entropy(predicted, targets).item(), right.double().mean().item()


def evaluate(network: Network, split: Split) -> Metrics:
    """Every figure that is reported about a network on a split; the test split is given once.

    Args:
        network: is evaluated in eval mode and handed back in the mode that it was in.
        split: features in the user's own units; targets as class indices, or in their own units.
    """
    predicted = outputs(network, torch.tensor(split.features)).double()
    if isinstance(network.answer, Rescaling):
        answered = network.answer.mean.double() + network.answer.scale.double() * predicted
        return _regression(answered.numpy()[:, 0], split.targets.astype(np.float64))
    targets = torch.tensor(split.targets)
    chosen = predicted.argmax(dim=1)
    return ClassificationMetrics(
        rows=len(split),
        accuracy=(chosen == targets).double().mean().item(),
        log_loss=functional.cross_entropy(predicted, targets).item(),
        macro_f1=float(f1_score(split.targets, chosen.numpy(), average="macro", zero_division=0)),
    )


def _regression(predicted: NDArray[np.float64], targets: NDArray[np.float64]) -> RegressionMetrics:
    errors = predicted - targets
    squares = float(errors @ errors)
    spread = float(((targets - targets.mean()) ** 2).sum())
    return RegressionMetrics(
        rows=len(targets),
        rmse=(squares / len(targets)) ** 0.5,
        mae=float(np.abs(errors).mean()),
        r2=1 - squares / spread if spread else None,
    )
