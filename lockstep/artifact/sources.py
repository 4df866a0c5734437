"""Removes from model files what exporters record of the exporting machine."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto


def onnx_without_sources(model: ModelProto) -> bytes:
    """The file of a model, without the stack traces that name source files.

    Args:
        model: changed in place.
    """
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    for part in (model, graph, *graph.node, *graph.initializer, *values):
        part.ClearField("metadata_props")
    data: bytes = model.SerializeToString()
    return data


def torchscript_without_sources(model: bytes) -> bytes:
    """The same file without its debug records, which name source files."""
    stripped = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(model)) as source, zipfile.ZipFile(stripped, "w") as target:
        for record in source.infolist():
            if not record.filename.endswith(".debug_pkl"):
                # A ZipInfo made from the name alone carries a fixed date.
                target.writestr(zipfile.ZipInfo(record.filename), source.read(record))
    return stripped.getvalue()
