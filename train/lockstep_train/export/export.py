"""Export: a fitted network becomes an artifact, proved before anything is written."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import ONNX, TORCHSCRIPT, Artifact, check_writable
from lockstep.artifact.golden import Golden, golden_features
from lockstep.artifact.manifest import Precision
from lockstep.engine.torchscript import freeze
from lockstep.errors import Disproved
from lockstep.proof.certificate import Certificate
from lockstep.seal import seal
from lockstep_train.data.dataset import Dataset
from lockstep_train.evaluate.calibrate import Calibration
from lockstep_train.evaluate.metrics import Metrics
from lockstep_train.exact.form import ExactForm, Inexact, exact_form
from lockstep_train.export.manifest import manifest_of, output_of
from lockstep_train.export.onnx_file import to_onnx
from lockstep_train.export.parity import Predictor, measure_parity, nonsense
from lockstep_train.fit.fit import Fit
from lockstep_train.fit.threads import computing_with
from lockstep_train.network.digest import state_digest
from lockstep_train.network.network import Answering, Network
from lockstep_train.report.card import write_card
from lockstep_train.report.page import write_page
from lockstep_train.report.plots import draw_curves

EXAMPLE_ROWS = 4
"""Rows of the sample: a batch of one would fix the size of the batch in the graph."""

CARD = "card.md"
CURVES = "report/curves.png"
PAGE = "report/index.html"


class NetworkChanged(Disproved):
    """The export left the live network in another state than it found it in."""


def export(
    fit: Fit,
    dataset: Dataset,
    metrics: Metrics,
    *,
    models: Path,
    name: str,
    version: int | None = None,
    calibration: Calibration | None = None,
) -> tuple[Artifact, Certificate]:
    """Export a fitted network from a deep copy in eval mode, prove the files, and seal them.

    Args:
        fit: the network, its configuration and its curves; the network's state is left untouched.
        dataset: what it was fitted to; parity is measured on every row of its test split.
        metrics: measured on the held-out test split.
        models: the repository.
        name: the model's name.
        version: its number; the next one where it is None.
        calibration: what came of calibrating the network; None where nobody tried.

    Returns:
        The artifact, and what was proved about it.

    Raises:
        NetworkChanged: where the live network's state digest is another one afterwards.
        Inexact: where exact precision was asked for, and its answers stray too far.
        Disproved: where the files contradict inference mode, or the eager network on a row of the
            test split; nothing is written then.
        InvalidSetting: for a wrong name, or a repository that cannot be written.
        AlreadyExists: where the version that was asked for is there.
    """
    check_writable(models, name)
    before = state_digest(fit.network)
    output = output_of(dataset)
    features = golden_features(
        dataset.columns, dataset.train.features, fit.configuration.training.seed
    )
    form = _exact_form(fit, dataset)
    exact = form if isinstance(form, ExactForm) else None
    served = Answering(_detached(fit.network)).eval() if exact is None else exact.network
    eager = _eager(copy.deepcopy(served))
    files = _model_files(served, features[:EXAMPLE_ROWS], output.name)
    if state_digest(fit.network) != before:
        raise NetworkChanged(
            "Expected the export to leave the network as it was, however its state digest is "
            "another one now; discard this network, and export from a deep copy in eval mode."
        )
    precision: Precision = "float32" if exact is None else "exact"
    parity = measure_parity(eager, files, output, dataset.task, _tried(dataset), precision)
    return seal(
        models,
        manifest_of(fit, dataset, metrics, name, calibration=calibration, parity=parity, form=form),
        files,
        Golden(features, {output.name: eager(features)}),
        papers=lambda numbered, certificate: {
            CARD: write_card(numbered, certificate, fit, CURVES).encode(),
            CURVES: draw_curves(fit),
            PAGE: write_page(numbered, certificate, fit, dataset).encode(),
        },
        version=version,
        difference=None if exact is None else exact.difference,
    )


def _detached(network: Network) -> Network:
    """A deep copy in eval mode on the processor."""
    return copy.deepcopy(network).cpu().eval()


def _tried(dataset: Dataset) -> dict[str, FeatureArray]:
    """The rows beyond the golden ones on which parity is measured, by what they are."""
    rows = {"every row of the test split": dataset.test.features}
    if (spoiled := nonsense(dataset.columns, dataset.test.features)) is not None:
        rows["rows whose codes mean nothing"] = spoiled
    return rows


def _exact_form(fit: Fit, dataset: Dataset) -> ExactForm | Inexact | None:
    """The network in exact precision, unless float32 was asked for; or why it has none."""
    choice = fit.configuration.export.precision
    if choice == "float32":
        return None
    try:
        with computing_with(threads=1):
            return exact_form(_detached(fit.network), dataset)
    except Inexact as error:
        if choice == "exact":
            raise Inexact(f"{error} Or export with --precision float32.") from error
        return error


def _eager(served: nn.Module) -> Predictor:
    """What a module answers in eval mode, computed by one thread, whatever the training took."""

    def answer(features: FeatureArray) -> FeatureArray:
        with computing_with(threads=1), torch.inference_mode():
            answered: FeatureArray = served(torch.tensor(features)).numpy()
        return answered

    return answer


def _model_files(served: nn.Module, sample: FeatureArray, output: str) -> dict[str, bytes]:
    sample = np.ascontiguousarray(sample)
    return {ONNX: to_onnx(served, sample, output), TORCHSCRIPT: freeze(served, sample)}
