"""What every peer runs: the file that ``MODEL_FILE`` names, by onnxruntime with one thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

# As many rows as there are connections: no peer has to turn a waiting request away.
MAX_BATCH_ROWS = 64


def load() -> Callable[[Any], Any]:
    """A function from float32 ``[n, features]`` to the first output, ``[n, classes]``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        os.environ["MODEL_FILE"], options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda features: session.run(None, {name: np.asarray(features, np.float32)})[0]


def name() -> str:
    """The name that the network is served under."""
    return os.environ["MODEL_NAME"]
