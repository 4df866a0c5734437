"""Export: a fitted network becomes an artifact, proved before anything is written."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import nn

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import ONNX, TORCHSCRIPT, Artifact, check_writable
from lockstep.artifact.golden import Golden, golden_features
from lockstep.artifact.manifest import Manifest, Tensor
from lockstep.engine.torchscript import freeze
from lockstep.errors import Disproved
from lockstep.proof.certificate import Certificate, versions
from lockstep.seal import seal
from train.card import write_card
from train.data.dataset import Dataset
from train.evaluate import Metrics
from train.fit import Fit
from train.network.digest import state_digest
from train.network.network import Answering, Network
from train.report import draw_curves

OPSET = 18
INPUT = "features"
SAMPLE_ROWS = 4
"""Rows of the sample: a batch of one would fix the size of the batch in the graph."""

CARD = "card.md"
CURVES = "report/curves.png"

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
) -> tuple[Artifact, Certificate]:
    """Export a fitted network from a deep copy in eval mode, prove the files, and seal them.

    Args:
        fit: the network, its configuration and its curves; the network's state is left untouched.
        dataset: what it was fitted to; the training split describes the columns.
        metrics: measured on the held-out test split.
        models: the repository.
        name: the model's name.
        version: its number; the next one where it is None.

    Returns:
        The artifact, and what was proved about it.

    Raises:
        NetworkChanged: where the live network's state digest is another one afterwards.
        Disproved: where the files contradict inference mode; nothing is written then.
        InvalidSetting: for a wrong name, or a repository that cannot be written.
        AlreadyExists: where the version that was asked for is there.
    """
    check_writable(models, name)
    before = state_digest(fit.network)
    manifest = describe(fit, dataset, metrics, name)
    features = golden_features(
        manifest.columns, dataset.train.features, fit.configuration.training.seed
    )
    files, reference = _model_files(fit.network, features, manifest.outputs[0].name)
    if state_digest(fit.network) != before:
        raise NetworkChanged(
            "Expected the export to leave the network as it was, however its state digest is "
            "another one now; discard this network, and export from a deep copy in eval mode."
        )
    return seal(
        models,
        manifest,
        files,
        Golden(features, reference),
        papers=lambda numbered, certificate: {
            CARD: write_card(numbered, certificate, fit, CURVES).encode(),
            CURVES: _curves(fit),
        },
        version=version,
    )


def describe(fit: Fit, dataset: Dataset, metrics: Metrics, name: str) -> Manifest:
    """The manifest of a fitted network; the version is set when it is sealed."""
    width = len(dataset.classes) if dataset.classes is not None else 1
    output = "prediction" if dataset.classes is None else "probabilities"
    return Manifest(
        name=name,
        version=1,
        task=dataset.task,
        origin="trained",
        created=datetime.now(UTC).replace(microsecond=0),
        columns=dataset.columns,
        classes=dataset.classes,
        target=dataset.target_name,
        inputs=(Tensor(name=INPUT, datatype="FP32", shape=(-1, len(dataset.column_names))),),
        outputs=(Tensor(name=output, datatype="FP32", shape=(-1, width)),),
        training={
            "source": dataset.name,
            "rows": {
                "train": len(dataset.train),
                "validation": len(dataset.validation),
                "test": len(dataset.test),
            },
            "configuration": fit.configuration.model_dump(mode="json"),
            "epochs": len(fit.history),
            "best_epoch": fit.best_epoch,
            "parting_epoch": fit.parting_epoch,
        },
        metrics=metrics.as_dict(),
        tools=versions(),
    )


def _model_files(
    network: Network, features: FeatureArray, output: str
) -> tuple[dict[str, bytes], dict[str, NDArray[Any]]]:
    """Both model files, and the eager network's own answers to the golden rows."""
    served = Answering(copy.deepcopy(network)).eval()
    sample = np.ascontiguousarray(features[:SAMPLE_ROWS])
    with _one_thread(), torch.inference_mode():
        reference = {output: served(torch.from_numpy(features)).numpy()}
    return {
        ONNX: to_onnx(served, sample, output),
        TORCHSCRIPT: freeze(served, sample),
    }, reference


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


def _curves(fit: Fit) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.png"
        draw_curves(fit, path)
        return path.read_bytes()
