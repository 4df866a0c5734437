"""Export: a fitted network becomes an artifact, proved before anything is written."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from torch import nn

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import ONNX, TORCHSCRIPT, Artifact, check_writable
from lockstep.artifact.golden import Golden, golden_features
from lockstep.engine.torchscript import freeze
from lockstep.errors import Disproved
from lockstep.proof.certificate import Certificate
from lockstep.seal import seal
from train.calibrate import Calibration
from train.card import write_card
from train.data.dataset import Dataset
from train.exact.form import ExactForm, exact_form
from train.facts import INPUT, describe, output_of
from train.fit.fit import Fit
from train.metrics import Metrics
from train.network.digest import state_digest
from train.network.network import Answering, Network
from train.parity import Answer, measure_parity, nonsense
from train.report.page import write_page
from train.report.plots import draw_curves

OPSET = 18
SAMPLE_ROWS = 4
"""Rows of the sample: a batch of one would fix the size of the batch in the graph."""

CARD = "card.md"
CURVES = "report/curves.png"
PAGE = "report/index.html"

_EXPORTER_LOGGERS = ("torch.onnx._internal.exporter._registration", "onnxscript")


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
    exact = _exact_form(fit, dataset)
    served = Answering(_detached(fit.network)).eval() if exact is None else exact.network
    eager = _eager(copy.deepcopy(served))
    files = _model_files(served, features[:SAMPLE_ROWS], output.name)
    if state_digest(fit.network) != before:
        raise NetworkChanged(
            "Expected the export to leave the network as it was, however its state digest is "
            "another one now; discard this network, and export from a deep copy in eval mode."
        )
    rows = {"every row of the test split": dataset.test.features}
    if (spoiled := nonsense(dataset.columns, dataset.test.features)) is not None:
        rows["rows whose codes mean nothing"] = spoiled
    precision = fit.configuration.export.precision
    parity = measure_parity(eager, files, output, dataset.task, rows, precision)
    return seal(
        models,
        describe(fit, dataset, metrics, name, calibration=calibration, parity=parity, exact=exact),
        files,
        Golden(features, {output.name: eager(features)}),
        papers=lambda numbered, certificate: {
            CARD: write_card(numbered, certificate, fit, CURVES).encode(),
            CURVES: draw_curves(fit),
            PAGE: write_page(numbered, certificate, fit, dataset).encode(),
        },
        version=version,
    )


def _detached(network: Network) -> Network:
    """A deep copy in eval mode on the processor."""
    return copy.deepcopy(network).cpu().eval()


def _exact_form(fit: Fit, dataset: Dataset) -> ExactForm | None:
    """The network in exact precision, where that was asked for."""
    if fit.configuration.export.precision == "float32":
        return None
    with _one_thread():
        return exact_form(_detached(fit.network), dataset)


def _eager(served: nn.Module) -> Answer:
    """What a module answers in eval mode, computed by one thread."""

    def answer(features: FeatureArray) -> FeatureArray:
        with _one_thread(), torch.inference_mode():
            answered: FeatureArray = served(torch.tensor(features)).numpy()
        return answered

    return answer


def _model_files(served: nn.Module, sample: FeatureArray, output: str) -> dict[str, bytes]:
    sample = np.ascontiguousarray(sample)
    return {ONNX: to_onnx(served, sample, output), TORCHSCRIPT: freeze(served, sample)}


def to_onnx(module: nn.Module, sample: FeatureArray, output: str) -> bytes:
    """Export a module in eval mode as one ONNX file, by torch's dynamo exporter.

    Args:
        module: in eval mode, ``forward(features)``.
        sample: float32 ``[n, d]``, n ≥ 2.
        output: name of the output.

    Returns:
        The file's bytes, with a batch axis of any size and without paths of source files.
    """
    with _silent_exporter():
        program = torch.onnx.export(
            module,
            (torch.from_numpy(sample),),
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            external_data=False,
            input_names=[INPUT],
            output_names=[output],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:  # only the legacy exporter returns none
        raise TypeError("torch.onnx.export(dynamo=True) must return a program, got None.")
    model: bytes = _without_sources(program.model_proto).SerializeToString()
    return model


def _without_sources(model: ModelProto) -> ModelProto:
    """The same model without the stack traces that name files of the exporting machine."""
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    for part in (model, graph, *graph.node, *graph.initializer, *values):
        part.ClearField("metadata_props")
    return model


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """The exporter tells of packages that it does without, and of its own deprecations."""
    loggers = [logging.getLogger(name) for name in _EXPORTER_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The reference is what one thread computes, whatever the training took."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
