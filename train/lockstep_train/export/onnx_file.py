"""A module in eval mode as one ONNX file, by torch's dynamo exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.sources import onnx_without_sources
from lockstep_train.export.manifest import INPUT

OPSET = 18

_EXPORTER_LOGGERS = ("torch.onnx._internal.exporter._registration", "onnxscript")


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
    return onnx_without_sources(program.model_proto)


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
