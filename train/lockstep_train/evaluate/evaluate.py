"""What a network is worth on a split; only this file switches between the modes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lockstep.errors import InvalidSetting
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.evaluate.metrics import (
    Metrics,
    classification_metrics,
    regression_metrics,
)
from lockstep_train.network.answer import Probabilities
from lockstep_train.network.network import Network
from lockstep_train.network.preprocessing.standardisation import Rescaling

EVALUATION_ROWS = 8192
"""Rows of one evaluation batch: large, because eval mode has no reason to keep it small."""


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


def outputs(network: Network, features: Tensor, *, prepared: bool = False) -> Tensor:
    """The members' outputs ``[members, n, n_outputs]`` for ``[n, d]`` features, in eval mode.

    Args:
        network: is evaluated in eval mode, whatever mode it is in.
        features: in the user's own units.
        prepared: whether they are what the network's preprocessing made of them.
    """
    batches = torch.split(features, EVALUATION_ROWS)
    with inference(network):
        return torch.cat([network(rows, prepared=prepared) for rows in batches], dim=1)


def temperature_of(network: Network) -> Tensor:
    """The buffer ``[]`` that holds a classifier's temperature.

    Raises:
        InvalidSetting: the network is a regression.
    """
    if not isinstance(network.answer, Probabilities):
        raise InvalidSetting(
            f"Expected a classifier, got a {network.task}: it answers no probabilities, and so has "
            "no temperature to calibrate."
        )
    return network.answer.temperature


def averaged_log_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """The log of the members' averaged probabilities, in float64.

    Args:
        logits: ``[members, n, n_classes]``.
        temperature: by which each member's logits are divided (Guo et al. 2017).

    Returns:
        ``[n, n_classes]``; finite even where a float32 probability is 0.
    """
    each = functional.log_softmax(logits.double() / temperature, dim=2)
    if len(each) == 1:
        return each[0]
    return torch.logsumexp(each, dim=0) - math.log(len(each))


def loss_and_score(
    network: Network,
    features: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    prepared: bool = False,
) -> tuple[float, float]:
    """One point of the training curves: loss and accuracy, or loss and rmse.

    The loss is that of the answer, the members' average, and the plain one, without label
    smoothing: cross-entropy in nats, or the mean squared error of the standardised target; the
    rmse is in the target's own units.

    Args:
        network: is evaluated in eval mode, whatever mode it is in.
        features: ``[n, d]``.
        targets: class indices ``[n]``, or standardised targets ``[n, 1]``.
        weights: ``[n]`` ≥ 0, how much a row counts; None where all do alike.
        prepared: whether the features are what the network's preprocessing made of them.
    """
    answered = outputs(network, features, prepared=prepared)
    if isinstance(network.answer, Rescaling):
        errors = answered.double().mean(dim=0) - targets.double()
        loss = _mean(errors.square()[:, 0], weights)
        return loss, loss**0.5 * network.answer.scale.item()
    logs = averaged_log_probabilities(answered, temperature_of(network).item())
    right = (logs.argmax(dim=1) == targets).double()
    return _mean(-logs.gather(1, targets[:, None])[:, 0], weights), _mean(right, weights)


def _mean(values: Tensor, weights: Tensor | None) -> float:
    if weights is None:
        return values.mean().item()
    return (values @ weights.double() / weights.double().sum()).item()


def log_probabilities(
    network: Network, split: Split, temperature: float | None = None
) -> NDArray[np.float64]:
    """What a classifier answers to the rows of a split, as logs ``[n, n_classes]``.

    Args:
        network: is evaluated in eval mode and handed back in the mode that it was in.
        split: the rows.
        temperature: another one than the network's own.
    """
    chosen = temperature_of(network).item() if temperature is None else temperature
    return _numpy(averaged_log_probabilities(outputs(network, features_of(network, split)), chosen))


def predictions(network: Network, split: Split) -> NDArray[np.float64]:
    """What a regression answers to the rows of a split ``[n]``, in the target's own unit.

    Args:
        network: is evaluated in eval mode and handed back in the mode that it was in.
        split: the rows.
    """
    answer = cast("Rescaling", network.answer)
    standardised = outputs(network, features_of(network, split)).double().mean(dim=0)[:, 0]
    return _numpy(answer.mean.double() + answer.scale.double() * standardised)


def features_of(network: Network, split: Split) -> Tensor:
    """A split's features ``[n, d]`` where the network is."""
    return torch.tensor(split.features, device=next(network.parameters()).device)


def _numpy(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.cpu().numpy()
    return array


def evaluate(network: Network, split: Split) -> Metrics:
    """Every figure that is reported about a network on a split; the test split is given once.

    Args:
        network: is evaluated in eval mode and handed back in the mode that it was in.
        split: features in the user's own units; targets as class indices, or in their own units.

    Raises:
        InvalidSetting: all of the split's weights are 0.
    """
    if network.task == "regression":
        return regression_metrics(predictions(network, split), split.targets, split.weights)
    return classification_metrics(log_probabilities(network, split), split.targets, split.weights)


def baseline(dataset: Dataset) -> Metrics:
    """The figures on the test split of the answer that looks at no column.

    It is the training split's mean; or the share of each class in it, each class counted once
    more, so that none is impossible. A network is worth what it is better by.

    Args:
        dataset: of whose training split not all weights are 0.

    Raises:
        InvalidSetting: all weights of the test split are 0.
    """
    train, test = dataset.train, dataset.test
    if dataset.classes is None:
        mean = np.average(train.targets.astype(np.float64), weights=train.weights)
        return regression_metrics(np.full(len(test), mean), test.targets, test.weights)
    weights = np.ones(len(train)) if train.weights is None else train.weights.astype(np.float64)
    relative = weights / weights.mean()
    counts = np.bincount(train.targets, weights=relative, minlength=len(dataset.classes)) + 1
    logs = np.log(counts / counts.sum())
    return classification_metrics(
        np.broadcast_to(logs, (len(test), len(logs))), test.targets, test.weights
    )
