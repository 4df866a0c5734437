"""A small network, trained for two epochs, proved and sealed: real, and made in a second."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.export import PrecisionName
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.sources.load import load
from lockstep_train.evaluate.evaluate import evaluate
from lockstep_train.evaluate.metrics import Metrics
from lockstep_train.export.export import export
from lockstep_train.fit.fit import Fit, fit

SETTINGS = {"network": {"hidden": [16, 8], "dropout": 0.2}, "training": {"epochs": 2}}


class Small(NamedTuple):
    """What was trained, on what, how good it is, and the artifact's folder."""

    fit: Fit
    dataset: Dataset
    metrics: Metrics
    path: Path


def small(source: str, models: Path, precision: PrecisionName = "auto") -> Small:
    """Train on a source and write the artifact ``models/SOURCE/1``."""
    configuration = Configuration.model_validate({**SETTINGS, "export": {"precision": precision}})
    dataset = load(source, configuration)
    fitted = fit(configuration, dataset)
    metrics = evaluate(fitted.network, dataset.test)
    written, _ = export(fitted, dataset, metrics, models=models, name=source)
    return Small(fitted, dataset, metrics, written.path)
