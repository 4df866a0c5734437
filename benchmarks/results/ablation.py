"""The ablation: Lockstep with its defaults, each regulariser taken away in turn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.results.folds import Fold
from benchmarks.results.runs import Arm, Measured
from benchmarks.results.served import completed, facts_of, settings_of
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.fit.checkpoint.checkpoint import Checkpoint, origin_of
from lockstep_train.fit.device.choice import device_of
from lockstep_train.fit.fit import Fit, fit
from lockstep_train.fit.learner import Learner
from lockstep_train.fit.randomness import RandomStream
from lockstep_train.network.network import Network
from lockstep_train.pipeline import Trained, measured, train

Changes = Mapping[str, Mapping[str, Any]]

EARLY_STOPPING = "early stopping"
CALIBRATION = "calibration"

TAKEN_AWAY: dict[str, Changes] = {
    "dropout": {"network": {"dropout": 0.0, "output_dropout": 0.0, "input_dropout": 0.0}},
    "dropout of embeddings": {"network": {"embedding_dropout": 0.0}},
    "BatchNorm": {"network": {"batch_norm": False}},
    "weight decay": {"training": {"weight_decay": 0.0}},
    "label smoothing": {"training": {"label_smoothing": 0.0}},
    EARLY_STOPPING: {"training": {"patience": 0}},
    "all members but one": {"network": {"members": 1}},
    "embedding of numbers": {"preprocessing": {"embedding": "none"}},
    CALIBRATION: {"training": {"calibrate": False}},
}
"""What makes a configuration do without each."""


def ablation_arms(fold: Fold) -> list[Arm]:
    """An arm for each regulariser that the fold's configuration has and its network feels."""
    return [
        _arm(fold, name, configuration)
        for name, changes in TAKEN_AWAY.items()
        if _is_felt(configuration := without(fold.configuration, changes), fold)
    ]


def without(configuration: Configuration, changes: Changes) -> Configuration:
    """The same configuration, but for some settings.

    Raises:
        InvalidSetting: settings that do not go with each other.
    """
    settings = configuration.model_dump()
    for section, values in changes.items():
        settings[section] |= values
    return Configuration.model_validate(settings)


def fit_to_the_end(configuration: Configuration, dataset: Dataset) -> Fit:
    """A fit that has the weights of its last epoch, whatever the validation split says.

    Args:
        configuration: its patience must be 0: every epoch is trained.
        dataset: its test split is not looked at.
    """
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(configuration, dataset, checkpoint=Path(folder))
        device = device_of(configuration.training)
        masks = RandomStream(configuration.training.seed, device.torch_device)
        with masks.drawn():
            network = Network.of(configuration, dataset)
        learner = Learner.of(network, configuration, len(dataset.train), masks, device)
        origin = origin_of(configuration, dataset, device, fitted.threads)
        Checkpoint(Path(folder), origin, {"learner": learner}, device).resume()
    return replace(fitted, network=learner.measured.cpu().eval())


def _is_felt(changed: Configuration, fold: Fold) -> bool:
    """Whether a change reaches the fit: a Dropout of embeddings needs a column that has one."""
    full = fold.configuration
    if changed.training != full.training:
        calibration = changed.training.calibrate != full.training.calibrate
        return not calibration or fold.dataset.classes is not None
    return changed != full and _layers(changed, fold) != _layers(full, fold)


def _layers(configuration: Configuration, fold: Fold) -> str:
    with RandomStream(0).drawn():
        return repr(Network.of(configuration, fold.dataset))


def _arm(fold: Fold, name: str, configuration: Configuration) -> Arm:
    settings = settings_of(configuration)
    train_it: Callable[[Configuration, Dataset], Trained] = train
    if name == EARLY_STOPPING:
        train_it = _train_to_the_end
    return Arm("ablation", name, settings, lambda: _measure(train_it, configuration, fold.dataset))


def _train_to_the_end(configuration: Configuration, dataset: Dataset) -> Trained:
    return measured(fit_to_the_end(configuration, dataset), dataset)


def _measure(
    train_it: Callable[[Configuration, Dataset], Trained],
    configuration: Configuration,
    dataset: Dataset,
) -> Measured:
    started = time.process_time()
    trained = completed(train_it(configuration, dataset))
    seconds = time.process_time() - started
    return Measured(trained.metrics.as_dict(), seconds, facts_of(trained))
