"""Row independence by running: what a row's output depends on, shown by onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import ModelProto

RUN_AT = (1, 2, 3, 4, 33)


def session_of(model: ModelProto) -> onnxruntime.InferenceSession:
    """A session that runs the graph as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def dependence(session: onnxruntime.InferenceSession, width: int) -> str | None:
    """What running shows: why a row does not depend on itself alone, or None if it seems to."""
    rng = np.random.default_rng(1)
    for batch in RUN_AT:
        for scale in (1.0, 4.0):
            x = (scale * rng.standard_normal((batch, width))).astype(np.float32)
            shown = dependence_in(session, x, rng)
            if shown:
                return shown
    return None


def dependence_in(
    session: onnxruntime.InferenceSession, x: np.ndarray, rng: np.random.Generator
) -> str | None:
    """What one batch shows of it."""
    try:
        (whole,) = session.run(None, {"x": x})
        alone = [session.run(None, {"x": row[None]})[0] for row in x]
        order = rng.permutation(len(x))
        (permuted,) = session.run(None, {"x": x[order]})
    except Exception:  # noqa: BLE001  a graph that holds for some batch sizes only
        return "it does not run for every batch size"
    if whole.ndim == 0 or len(whole) != len(x) or any(len(a) != 1 for a in alone if a.ndim):
        return "its output has another number of rows"
    if any(a.ndim == 0 or a.shape[1:] != whole.shape[1:] for a in alone):
        return "its output's shape follows the batch size"
    if not close(whole, np.concatenate(alone)):
        return "a row alone differs from the row in a batch"
    return None if close(whole[order], permuted) else "a row depends on its position"


def close(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal, but for what other sizes of a batch may round otherwise."""
    if left.dtype.kind != "f":
        return bool((left == right).all())
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.allclose(left, right, rtol=1e-3, atol=1e-4, equal_nan=True))
