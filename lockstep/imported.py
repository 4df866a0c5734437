"""Importing: an ONNX file of any origin is audited and certified, and gets a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lockstep.artifact.columns import Column
from lockstep.artifact.folder import ONNX, Artifact
from lockstep.artifact.golden import Golden, golden_tensors
from lockstep.artifact.manifest import Manifest, TensorSpec, check_name, check_version
from lockstep.engine.engine import Engine, open_engine
from lockstep.engine.onnx import describe_tensors
from lockstep.errors import (
    Disproved,
    EngineFailure,
    InvalidSetting,
    NotFound,
    RowMixing,
    Unservable,
)
from lockstep.proof.audit.onnx import audit_onnx, read_onnx
from lockstep.proof.certificate import Certificate, library_versions
from lockstep.proof.claims import claims
from lockstep.proof.prove import refused_by_audit, refused_by_rows
from lockstep.proof.rows import row_independence
from lockstep.seal import seal

TRIED_BATCH_SIZES = (1, 2, 3, 7)
GOLDEN_SEED = 0


def import_onnx(
    file: Path | str,
    models: Path | str,
    name: str,
    *,
    version: int | None = None,
    column_names: Sequence[str] | None = None,
) -> tuple[Artifact, Certificate]:
    """Import an ONNX file with one float32 input ``[batch, ...]``; its outputs stay as they are.

    Args:
        file: the ONNX file.
        models: the repository.
        name: the model's name.
        version: its number; the next one if None.
        column_names: of a two-dimensional input; ``feature_0`` and so on if None.

    Returns:
        The artifact and its certificate.

    Raises:
        Disproved: where the file is in training mode, or mixes rows.
        Unreadable: where it is not an ONNX file that onnxruntime loads.
        Unservable: where the service cannot carry the inputs or outputs, or the graph runs one
            batch size only.
        InvalidSetting: for a wrong name, or column names that do not fit.
        AlreadyExists: where that version exists.
    """
    file, models = Path(file), Path(models)
    check_name(name)
    if version is not None:
        check_version(version)
    graph = _read_audited(file)
    shape = _instance_shape(graph, column_names)
    columns = _columns(shape, column_names)
    freed = _free_batch(graph, shape)
    model = freed.SerializeToString()
    outputs = _outputs(model)
    golden = golden_tensors(shape, GOLDEN_SEED)
    reference = open_engine("onnx", model, outputs, optimised=False)
    answers = _try_batches(reference, golden)
    manifest = Manifest(
        name=name,
        version=version or 1,
        task="tensors",
        origin="imported",
        created=datetime.now(UTC).replace(microsecond=0),
        columns=columns,
        inputs=(TensorSpec(name=_input(graph).name, datatype="FP32", shape=(-1, *shape)),),
        outputs=tuple(
            output.model_copy(update={"shape": (-1, *answer.shape[1:])})
            for output, answer in zip(outputs, answers, strict=True)
        ),
        tools={
            **library_versions(),
            "producer": f"{graph.producer_name} {graph.producer_version}".strip(),
        },
    )
    recorded = {output.name: answer for output, answer in zip(outputs, answers, strict=True)}
    return seal(
        models,
        manifest,
        {ONNX: model},
        Golden(golden, recorded),
        papers=lambda numbered, certificate: {
            "card.md": _card(numbered, certificate, file.name).encode()
        },
        version=version,
    )


def _read_audited(file: Path) -> onnx.ModelProto:
    """The graph of a file that is in inference mode and keeps rows apart."""
    graph = read_onnx(_read(file), source=file.name)
    refusals: list[Disproved] = [*refused_by_audit(file.name, audit_onnx(graph))]
    refusals += refused_by_rows(row_independence(graph))
    if refusals:
        raise refusals[0]
    return graph


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from error


def _input(graph: onnx.ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in graph.graph.initializer}
    inputs: list[onnx.ValueInfoProto] = [
        value for value in graph.graph.input if value.name not in constants
    ]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise Unservable(
            f"Expected a model with one input [batch, ...], got {len(inputs)} ({names}); join them "
            f"into one tensor before the export."
        )
    return inputs[0]


def _instance_shape(graph: onnx.ModelProto, column_names: Sequence[str] | None) -> tuple[int, ...]:
    """Shape of one instance: all but the first axis, each of a fixed size."""
    value = _input(graph)
    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type else "no tensor"
        raise Unservable(
            f"Expected the input {value.name} to be float32, got {kind}; export the model with one "
            f"float32 input."
        )
    dimensions = list(tensor.shape.dim) if tensor.HasField("shape") else []
    if len(dimensions) < 2:
        raise Unservable(
            f"Expected the input {value.name} to have the shape [batch, ...], got "
            f"{len(dimensions)} dimension(s); export the model with a batch axis."
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in dimensions[1:]]
    if sizes == [-1] and column_names:
        sizes = [len(column_names)]
    if any(size < 1 for size in sizes):
        raise Unservable(
            f"Expected every axis of {value.name} but the first to have a fixed size, got {sizes}; "
            f"export the model with fixed sizes, or name the columns."
        )
    return tuple(sizes)


def _columns(shape: tuple[int, ...], column_names: Sequence[str] | None) -> tuple[Column, ...]:
    if len(shape) > 1:
        if column_names:
            raise InvalidSetting(f"Instances of shape {list(shape)} have no columns to name.")
        return ()
    names = list(column_names or (f"feature_{i}" for i in range(shape[0])))
    if len(names) != shape[0] or len(set(names)) != len(names) or not all(names):
        raise InvalidSetting(
            f"Expected {shape[0]} different column names, none of them empty, got {len(names)}, of "
            f"which {len(set(names) - {''})} are different and not empty."
        )
    return tuple(Column(name=name) for name in names)


def _free_batch(graph: onnx.ModelProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    """A copy of the model with a free batch axis."""
    freed = onnx.ModelProto()
    freed.CopyFrom(graph)
    _set_shape(_input(freed), shape)
    for output in freed.graph.output:
        dimensions = output.type.tensor_type.shape.dim
        if len(dimensions) and dimensions[0].HasField("dim_value"):
            dimensions[0].dim_param = "batch"
    # They were inferred for a fixed batch, and would contradict a free one.
    del freed.graph.value_info[:]
    return freed


def _set_shape(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    dimensions = value.type.tensor_type.shape.dim
    dimensions[0].dim_param = "batch"
    for dimension, size in zip(dimensions[1:], shape, strict=True):
        dimension.dim_value = size


def _outputs(model: bytes) -> tuple[TensorSpec, ...]:
    _, outputs = describe_tensors(model)
    for output in outputs:
        if "(" in output.datatype:  # types other than tensors keep onnxruntime's own name
            raise Unservable(
                f"Expected every output to be a tensor, got {output.name} of type "
                f"{output.datatype}; export without ZipMap (skl2onnx: options={{'zipmap': False}})."
            )
    return outputs


def _try_batches(engine: Engine, golden: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """Run several batch sizes: a batch size that is fixed inside the graph fails here."""
    try:
        for size in TRIED_BATCH_SIZES:
            _check_rows(engine.run(golden[:size]), size)
        answers = engine.run(golden)
    except EngineFailure as error:
        raise Unservable(
            f"Expected the model to run batches of any size, however: {error} Export it with a "
            f"dynamic batch axis (torch: dynamic_shapes=({{0: 'batch'}},))."
        ) from error
    _check_rows(answers, len(golden))
    return answers


def _check_rows(answers: Sequence[np.ndarray[Any, Any]], size: int) -> None:
    for answer in answers:
        if answer.ndim == 0 or len(answer) != size:
            raise RowMixing(
                f"Expected {size} rows of output for {size} rows of input, got the shape "
                f"{list(answer.shape)}; every output must have the batch as its first axis."
            )


def _card(manifest: Manifest, certificate: Certificate, source: str) -> str:
    inputs, outputs = manifest.inputs[0], manifest.outputs
    proved = claims(certificate)
    lines = [
        f"# {manifest.name}, version {manifest.version}",
        "",
        f"Imported from `{source}`, made by {manifest.tools.get('producer') or 'an unknown tool'}.",
        "",
        f"- input `{inputs.name}`: {inputs.datatype} {list(inputs.shape)}",
        *(f"- output `{out.name}`: {out.datatype} {list(out.shape)}" for out in outputs),
        "",
        *(f"- {row.claim}, `{row.subject}`: {row.verdict}; {row.measured}" for row in proved),
    ]
    return "\n".join(lines) + "\n"
