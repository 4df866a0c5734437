"""The audit of an ONNX file: every operator that is in, or able to enter, training mode."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]  # no stubs
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]  # no stubs
from onnx import ModelProto, TensorProto

from lockstep.errors import Unreadable
from lockstep.proof.audit.finding import AuditReport, Defect
from lockstep.proof.audit.onnx_mode import EXPORT_AGAIN
from lockstep.proof.audit.onnx_reader import ModeReader
from lockstep.proof.graph.traversal import Traversal


def audit_onnx(model: ModelProto) -> AuditReport:
    """Find every operator that is in, or able to enter, training mode.

    Args:
        model: a model that :func:`read_onnx` has read.

    Returns:
        The report; ``operators`` counts the nodes that were read, including those of subgraphs and
        of called functions.

    Raises:
        Unreadable: where it nests too deeply or a function calls itself, or where its functions
            expand to too many nodes.
    """
    reader = ModeReader()
    if model.training_info:
        problem = "the file holds a training algorithm beside its graph"
        defect = Defect("training", problem, EXPORT_AGAIN)
        reader.findings.append(defect.at("training_info", "TrainingInfoProto"))
    traversal = Traversal(model, reader)
    traversal.outputs()
    return AuditReport(
        format="onnx", operators=traversal.operators, findings=tuple(reader.findings)
    )


def read_onnx(data: bytes, *, source: str) -> ModelProto:
    """Parse and check an ONNX file.

    Args:
        data: the whole file.
        source: the file's name in messages.

    Raises:
        Unreadable: where the bytes are not an ONNX model, the model is not valid, or its weights
            are in other files.
    """
    expected = f"{source} must be an ONNX model (one .onnx file)"
    if not data:
        raise Unreadable(f"{expected}, but it is empty; export or copy it again.")
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise Unreadable(
            f"{expected}, but its bytes cannot be parsed as one; check that it is not another kind "
            "of file or cut short."
        ) from error
    if not model.graph.node or not model.graph.output:
        raise Unreadable(
            f"{expected}, but it holds no graph with nodes and outputs; check that it is not "
            "another kind of file or cut short."
        )
    _refuse_broken_text(model, source)
    _refuse_external_data(model, source)
    try:
        onnx.checker.check_model(data)
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split("==>")[0].split()).rstrip(".")
        raise Unreadable(
            f"{source} must be a valid ONNX model, but onnx finds: {reason}. Export it again."
        ) from error
    return model


def _refuse_external_data(model: ModelProto, source: str) -> None:
    """Refuse weights in a second file: no digest covers it, and its path may lead anywhere."""
    for message in _messages(model):
        if isinstance(message, TensorProto) and message.data_location == TensorProto.EXTERNAL:
            raise Unreadable(
                f"{source} must hold its weights itself, but tensor {message.name!r} lies in "
                "another file; save it as one file (external_data=False in torch.onnx.export)."
            )


def _refuse_broken_text(model: ModelProto, source: str) -> None:
    """Refuse names that are not UTF-8: protobuf gives bytes for them instead of a string."""
    for message in _messages(model):
        names = [message.name] if isinstance(message, TensorProto) else _texts(message)
        for text in names:
            if isinstance(text, bytes):
                raise Unreadable(
                    f"{source} must be a valid ONNX model, but the name {text!r} is not UTF-8; "
                    "export or copy it again."
                )


def _messages(model: ModelProto) -> Iterator[Message]:
    """Every message of a model, down to its tensors, whose values are not read."""
    waiting: list[Message] = [model]
    while waiting:
        message = waiting.pop()
        yield message
        if isinstance(message, TensorProto):
            continue
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                waiting += [value] if isinstance(value, Message) else value


def _texts(message: Message) -> Iterator[object]:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            yield from [value] if isinstance(value, str | bytes) else value
