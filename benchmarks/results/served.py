"""Lockstep's own runs: trained, exported, verified, and measured as the service would answer."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.folds import Fold
from benchmarks.results.runs import Arm, Measured
from lockstep import Artifact, verify
from lockstep.engine.tile import run_in_pieces
from lockstep.errors import Disproved
from lockstep.proof.load import prove_at_load
from lockstep.proof.prove import DEFAULT_MAX_BATCH_ROWS
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.evaluate.evaluate import log_probabilities, predictions
from lockstep_train.evaluate.metrics import Metrics, classification_metrics, regression_metrics
from lockstep_train.network.network import Network
from lockstep_train.pipeline import Trained, train

PROOF_BUDGET_S = 5.0
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
"""Below it no logarithm is taken, as scikit-learn's log_loss does."""

Answers = NDArray[Any]

LOCKSTEP = "Lockstep"


def lockstep_arm(fold: Fold) -> Arm:
    """Lockstep with its defaults, by the steps of `lockstep train`, `verify` and `serve`."""
    settings = settings_of(fold.configuration)
    return Arm("lockstep", LOCKSTEP, settings, lambda: _measure(fold))


def settings_of(configuration: Configuration) -> dict[str, Any]:
    """Every setting but where the rows come from, which the fold's digest stands for."""
    settings: dict[str, Any] = configuration.model_dump(mode="json", exclude={"data"})
    return settings


def completed(trained: Trained) -> Trained:
    """The same, if nobody interrupted the fit: half a fit is no measurement.

    Raises:
        KeyboardInterrupt: a person ended the fit, which kept its best epoch.
    """
    if trained.fit.interrupted:
        raise KeyboardInterrupt
    return trained


def facts_of(trained: Trained) -> dict[str, Any]:
    """What a run keeps of a fit, whatever is measured afterwards."""
    validation = trained.fit.best
    return {
        "eager": trained.metrics.as_dict(),
        "best_epoch": trained.fit.best_epoch,
        "epochs": len(trained.fit.history),
        "validation_loss": validation.validation_loss,
        "validation_score": validation.validation_score,
        "temperature": None if trained.calibration is None else trained.calibration.temperature,
    }


def figures_of(answers: Answers, dataset: Dataset) -> Metrics:
    """What answers to the test rows are worth, by the same rule for every model.

    Args:
        answers: probabilities ``[n, n_classes]``, or predictions ``[n]`` or ``[n, 1]``.
        dataset: whose test rows they answer.
    """
    exact = np.asarray(answers, np.float64)
    if dataset.classes is None:
        return regression_metrics(exact.reshape(-1), dataset.test.targets)
    logs = np.log(np.clip(exact, LEAST_PROBABILITY, 1.0))
    return classification_metrics(logs, dataset.test.targets)


def _measure(fold: Fold) -> Measured:
    started = time.process_time()
    trained = completed(train(fold.configuration, fold.dataset))
    fitted = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        artifact, _ = trained.export(Path(folder), fold.source)
        verification = verify(artifact.path)
        if not verification.holds:
            raise Disproved(" ".join(verification.complaints))
        answers = _served(artifact, fold.dataset)
    facts = {
        **facts_of(trained),
        "artifact": verification.digest,
        "precision": artifact.manifest.precision,
        "difference": difference(answers, trained.fit.network, fold.dataset),
        "proof_s": time.process_time() - fitted,
    }
    return Measured(figures_of(answers, fold.dataset).as_dict(), fitted - started, facts)


def _served(artifact: Artifact, dataset: Dataset) -> Answers:
    """What the service's engine answers to the test rows, once it is proved here."""
    engine, *_ = prove_at_load(
        artifact, "onnx", threads=1, max_batch_rows=DEFAULT_MAX_BATCH_ROWS, budget_s=PROOF_BUDGET_S
    )
    features = np.ascontiguousarray(dataset.test.features)
    return run_in_pieces(engine, features, DEFAULT_MAX_BATCH_ROWS)[0]


def difference(answers: Answers, network: Network, dataset: Dataset) -> float:
    """How far served answers are from the eager network's, at most.

    Args:
        answers: to the test rows.
        network: measured in eval mode.
        dataset: whose test rows they are.

    Returns:
        Of a probability; or of a prediction, in deviations of the test rows' target.
    """
    if dataset.classes is None:
        apart = answers[:, 0].astype(np.float64) - predictions(network, dataset.test)
        return float(np.abs(apart).max() / dataset.test.targets.astype(np.float64).std())
    return float(np.abs(answers - np.exp(log_probabilities(network, dataset.test))).max())
