"""What most people write: FastAPI, pydantic models, one run of the engine a request.

``ENGINE`` is onnxruntime or TorchScript, ``MODEL_FILE`` the file that it runs.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel


class PredictRequest(BaseModel):
    """Rows to answer."""

    instances: list[list[float]]


class Prediction(BaseModel):
    """The answer to one row."""

    label: int
    probabilities: list[float]


class PredictResponse(BaseModel):
    """The answers."""

    predictions: list[Prediction]


def _onnx_run(path: str) -> Any:
    import onnxruntime  # noqa: PLC0415 - only the engine that is measured

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda features: session.run(None, {name: features})[0]


def _torchscript_run(path: str) -> Any:
    import torch  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    module = torch.jit.load(path)  # type: ignore[no-untyped-call] # torch has no type for it

    def run(features: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(features)).numpy()

    return run


app = FastAPI()
run = {"onnxruntime": _onnx_run, "TorchScript": _torchscript_run}[os.environ["ENGINE"]](
    os.environ["MODEL_FILE"]
)


@app.get("/ready")
async def ready() -> dict[str, bool]:
    """Whether the process answers."""
    return {"ready": True}


@app.post("/predict")
async def predict(request: PredictRequest) -> PredictResponse:
    """Answer rows."""
    probabilities = run(np.array(request.instances, np.float32))
    return PredictResponse(
        predictions=[
            Prediction(label=int(row.argmax()), probabilities=row.tolist()) for row in probabilities
        ]
    )
