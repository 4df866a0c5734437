"""The Arrow form of the plain dialect: one stream of columns per body.

Its content type is ``application/vnd.apache.arrow.stream``. pyarrow's ``ipc.new_stream`` and
polars' ``write_ipc_stream`` write such streams, with the end-of-stream marker. Columns hold raw
values, like the plain dialect's JSON.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.frame import encode_frame
from lockstep.artifact.manifest import Label, Manifest
from lockstep.engine.engine import Outputs
from lockstep.scoring.answers import answer_columns, label_text
from lockstep_service.batching.answers import best_places
from lockstep_service.errors import BadRequest
from lockstep_service.forms.arrow.reader import read_stream
from lockstep_service.forms.arrow.writer import write_stream
from lockstep_service.http.responses import Body

ARROW_TYPE = b"application/vnd.apache.arrow.stream"


def read_columns(body: Body, manifest: Manifest) -> FeatureArray:
    """Features of a body that is an Arrow stream.

    Args:
        body: a stream with the network's columns by name, in any order. Numbers have any width; a
            category is a string, plain or dictionary-encoded; null is missing.
        manifest: of the model.

    Returns:
        float32 ``[n, d]`` for the d columns of the manifest.

    Raises:
        BadRequest: where the body is not such a stream, or the network has no columns.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    if not manifest.columns:
        raise BadRequest(
            f"{manifest.name} answers instances of shape {list(manifest.instance_shape)}, which "
            f"have no columns; send JSON or application/x-npy."
        )
    return encode_frame(read_stream(body, manifest.columns), manifest.columns)


def write_columns(manifest: Manifest, answers: Outputs) -> bytes:
    """The answers as an Arrow stream, with the columns that ``lockstep predict`` writes.

    Args:
        manifest: of the model.
        answers: the outputs of a judged run.

    Raises:
        InvalidInstances: naming the instances whose answer is not finite.
    """
    best = best_places(answers)
    outputs = answers[:-1]
    columns = [column for output in outputs for column in output.reshape(len(output), -1).T]
    if manifest.task == "classification":
        columns.insert(0, label_column(manifest.classes or ())[best])
    return write_stream(answer_columns(manifest, outputs), columns)


def label_column(classes: tuple[Label, ...]) -> NDArray[Any]:
    """The labels as an array ``[classes]``, of their common type or else of strings."""
    kinds = {type(label) for label in classes}
    if kinds in ({int}, {bool}, {float}) and not _is_large(classes):
        return np.array(classes)
    return np.array([label_text(label) for label in classes])


def _is_large(classes: tuple[Label, ...]) -> bool:
    """Whether a label is an integer that does not fit into 64 bits."""
    return any(type(label) is int and not -(2**63) <= label < 2**63 for label in classes)
