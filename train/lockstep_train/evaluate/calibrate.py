"""Calibration: one temperature for the logits, so that probabilities mean what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # shipped without types
from torch import Tensor

from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.evaluate.evaluate import (
    averaged_log_probabilities,
    features_of,
    log_probabilities,
    outputs,
    temperature_of,
)
from lockstep_train.evaluate.metrics import brier, log_loss, reliability
from lockstep_train.fit.fit import Fit
from lockstep_train.network.network import Network

LEAST_ROWS = 100
"""Validation rows below which chance would choose the temperature."""

LEAST_GAIN = 1e-4
"""Share of the validation loss below which a temperature is not worth having."""

LOWEST, HIGHEST = 1 / 16, 16.0
"""Temperatures among which the best is sought."""

GRID_POINTS = 33


@dataclass(frozen=True)
class CalibrationFigures:
    """How far a split's probabilities can be believed; see `evaluate.metrics` for each figure."""

    ece: float
    brier: float
    log_loss: float


@dataclass(frozen=True)
class Calibration:
    """What came of calibrating a classifier.

    Attributes:
        temperature: by which the logits are divided; 1 where the network was left as it was.
        note: what was done, or why it was not, as a sentence.
        before: measured on the validation split at temperature 1.
        after: measured on the validation split at the temperature.
    """

    temperature: float
    note: str
    before: CalibrationFigures
    after: CalibrationFigures


def calibrated(fit: Fit, dataset: Dataset) -> Calibration | None:
    """Calibrate a fitted network where its configuration wants it and it has classes.

    Args:
        fit: its network's buffer `temperature` is set.
        dataset: what it was fitted to; the temperature is fitted to the validation split.

    Returns:
        What came of it, to be told in the manifest; None where nobody tried.
    """
    if not fit.configuration.training.calibrate or fit.network.task == "regression":
        return None
    return calibrate(fit.network, dataset.validation)


def calibrate(network: Network, validation: Split) -> Calibration:
    """Fit the temperature to the validation split and put it into the network (Guo et al. 2017).

    It minimises the log loss of the members' averaged probabilities. It is left at 1 where there
    are fewer than 100 validation rows, where it would lower the validation loss by less than a
    ten-thousandth, or where the loss falls down to the lowest temperature, as it does where every
    row is answered right. The same network and split give the same temperature. The most probable
    class of a row stays what it was, unless several members disagree about it.

    Args:
        network: a classifier; its buffer `temperature` is set.
        validation: the rows that it is fitted to, weighted where they have weights.

    Raises:
        InvalidSetting: the network is a regression.
    """
    buffer = temperature_of(network)
    before = calibration_figures(network, validation, 1.0)
    temperature, note = _chosen(network, validation, before.log_loss)
    with torch.no_grad():
        buffer.fill_(temperature)
    after = calibration_figures(network, validation, temperature)
    return Calibration(temperature, note, before, after)


def calibration_figures(network: Network, split: Split, temperature: float) -> CalibrationFigures:
    """Measure a split's probabilities at any temperature; the network's own is left alone.

    Args:
        network: a classifier; is evaluated in eval mode.
        split: the rows.
        temperature: by which the logits are divided.
    """
    logs = log_probabilities(network, split, temperature)
    probabilities = np.exp(logs)
    return CalibrationFigures(
        ece=reliability(probabilities, split.targets, split.weights).ece,
        brier=brier(probabilities, split.targets, split.weights),
        log_loss=log_loss(logs, split.targets, split.weights),
    )


def _chosen(network: Network, validation: Split, before: float) -> tuple[float, str]:
    rows = len(validation) if validation.weights is None else int((validation.weights > 0).sum())
    if rows < LEAST_ROWS:
        return 1.0, (
            f"Not calibrated: a temperature is fitted to at least {LEAST_ROWS} validation rows, "
            f"and there are {rows}."
        )
    logits = outputs(network, features_of(network, validation)).cpu()
    temperature, after = _best(logits, validation)
    if temperature == LOWEST:
        return 1.0, (
            f"Not calibrated: the log loss of the {rows} validation rows falls down to a "
            f"temperature of {temperature:g}, where the search ends; too few of them are answered "
            "wrong to tell how sure the network may be."
        )
    if after > before * (1 - LEAST_GAIN):
        return 1.0, (
            f"Not calibrated: no temperature lowers the log loss of the {rows} validation rows, "
            f"{before:.4f}, by more than {100 * LEAST_GAIN:g} %."
        )
    return temperature, (
        f"Calibrated: a temperature of {temperature:.3f}, fitted to the {rows} validation rows, "
        f"lowers their log loss from {before:.4f} to {after:.4f}."
    )


def _best(logits: Tensor, validation: Split) -> tuple[float, float]:
    """The temperature with the lowest log loss, as float32 holds it, and that loss."""

    def loss(log_temperature: float) -> float:
        logs: NDArray[np.float64] = averaged_log_probabilities(
            logits, math.exp(log_temperature)
        ).numpy()
        return log_loss(logs, validation.targets, validation.weights)

    # For one member the loss is convex in 1/T; for an average it need not be, so a grid comes
    # first and the search stays between the neighbours of its lowest point.
    grid = np.linspace(math.log(LOWEST), math.log(HIGHEST), GRID_POINTS)
    losses = [loss(point) for point in grid]
    lowest = int(np.argmin(losses))
    if lowest in {0, GRID_POINTS - 1}:
        return (HIGHEST if lowest else LOWEST), losses[lowest]
    found = minimize_scalar(
        loss, bounds=(grid[lowest - 1], grid[lowest + 1]), options={"xatol": 1e-5}
    )
    temperature = float(np.float32(math.exp(found.x)))
    return temperature, loss(math.log(temperature))
