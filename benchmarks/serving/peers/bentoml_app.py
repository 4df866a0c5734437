"""BentoML with its adaptive batching on: ``bentoml serve …peers.bentoml_app:Network``."""

from __future__ import annotations

import bentoml  # type: ignore[import-not-found] # lives in an environment of its own
import numpy as np

from benchmarks.serving.peers.network import MAX_BATCH_ROWS, load


@bentoml.service(workers=1, metrics={"enabled": False})
class Network:
    """One row a request, many a run."""

    def __init__(self) -> None:
        self.run = load()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_ROWS, max_latency_ms=1000)  # type: ignore[untyped-decorator] # the same
    def predict(self, instances: np.ndarray) -> np.ndarray:
        """Run what BentoML has stacked."""
        return self.run(instances)  # type: ignore[no-any-return] # onnxruntime is untyped
