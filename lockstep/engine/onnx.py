"""The onnx engine: the only home of onnxruntime."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import TensorSpec
from lockstep.engine.engine import EngineName, Outputs
from lockstep.errors import EngineFailure, Unreadable, first_line

_DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(float16)": "FP16",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}

_INTERNALS = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+:\d+ [^(]*\([^)]*\)(?: const)? ")

# The exceptions of onnxruntime. Its own classes share no base below Exception, and no public
# module lists them.
ERRORS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
)


class OnnxEngine:
    """Runs an ONNX model with onnxruntime on the processor."""

    name: EngineName = "onnx"

    def __init__(self, session: Any, outputs: Sequence[TensorSpec]) -> None:
        self._run = session.run
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in outputs]

    def run(self, features: FeatureArray) -> Outputs:
        """Run a whole batch; see :class:`lockstep.engine.engine.Engine`."""
        try:
            return tuple(self._run(self._outputs, {self._input: features}))
        except ERRORS as error:
            raise EngineFailure(f"onnxruntime could not run the rows: {_said(error)}") from error


def open_model(
    model: bytes, outputs: Sequence[TensorSpec], *, threads: int, optimised: bool
) -> OnnxEngine:
    """Open an ONNX file's bytes.

    Raises:
        Unreadable: where onnxruntime cannot load them.
    """
    return OnnxEngine(_session(model, threads=threads, optimised=optimised), outputs)


def describe_tensors(model: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The model's inputs and outputs as onnxruntime sees them.

    A size that varies is -1. An output that is not a tensor (a ZipMap's list of maps) has
    onnxruntime's name of its type as datatype.

    Raises:
        Unreadable: where onnxruntime cannot load the model.
    """
    session = _session(model, threads=1, optimised=False)
    return _tensors(session.get_inputs()), _tensors(session.get_outputs())


def _tensors(arguments: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=argument.name,
            datatype=_DATATYPES.get(argument.type, argument.type),
            shape=tuple(size if isinstance(size, int) else -1 for size in argument.shape or ()),
        )
        for argument in arguments
    )


def _session(model: bytes, *, threads: int, optimised: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    # Threads that spin would take the processor core that the HTTP server needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except ERRORS as error:
        raise Unreadable(f"onnxruntime cannot load the model: {_said(error)}") from error
    # The session keeps the file's bytes, to start again with another provider if one fails. Here
    # there is one provider only, and the bytes would take the model's size in memory again.
    session.disable_fallback()
    session._model_bytes = None  # noqa: SLF001 - test_private_doors.py holds this
    return session


def _said(error: Exception) -> str:
    """The message of onnxruntime, without its error numbers and its source locations."""
    return _INTERNALS.sub("", first_line(error))[:300]
