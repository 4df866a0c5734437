"""Requests of many rows: through the service, and through the engine alone."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import onnxruntime

from benchmarks.serving.load import press
from benchmarks.serving.networks import IMAGE, Shape, make
from benchmarks.serving.servers import LOCKSTEP, MODELS, WORK, Case

ROWS = 1000
CONNECTIONS = 4


class Bulk(NamedTuple):
    """Rows a second, medians over the rounds."""

    served: float
    bare: float


def body_of(shape: Shape, rows: int) -> Path:
    """A file of rows, little-endian float32; the same in every run."""
    path = WORK / "bodies" / f"{shape.name}-{rows}.bin"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        features = np.random.default_rng(2).standard_normal((rows, shape.features), np.float32)
        path.write_bytes(features.astype("<f4").tobytes())
    return path


def measure_bulk(rounds: int, seconds: int) -> Bulk:
    """Rows a second of binary requests, and of ``session.run`` in a bare loop on the same batch."""
    served, bare = [], []
    body = body_of(IMAGE, ROWS)
    for _ in range(rounds):
        with LOCKSTEP.run(IMAGE) as (port, _):
            request = LOCKSTEP.request(Case(IMAGE, "binary"), port)._replace(body=body)
            press(request, connections=CONNECTIONS, seconds=1)
            load = press(request, connections=CONNECTIONS, seconds=seconds)
        served.append(load.rate * ROWS)
        bare.append(_bare_rows_per_s(body, seconds))
    return Bulk(median(served), median(bare))


def _bare_rows_per_s(body: Path, seconds: int) -> float:
    """One thread, as the service has; nothing else runs meanwhile."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        make(IMAGE, MODELS) / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    features = np.frombuffer(body.read_bytes(), "<f4").reshape(-1, IMAGE.features)
    feed = {session.get_inputs()[0].name: features}
    session.run(None, feed)
    runs = 0
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        session.run(None, feed)
        runs += 1
    return runs * len(features) / (time.monotonic() - begin)
