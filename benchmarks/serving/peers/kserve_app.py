"""KServe's model server: ``python -m benchmarks.serving.peers.kserve_app --http_port PORT``.

Its batching is a sidecar of the cluster, not of the server: every request is a run of its own.
"""

from __future__ import annotations

import argparse
from typing import Any

import kserve  # type: ignore[import-not-found] # lives in an environment of its own
import numpy as np

from benchmarks.serving.peers.network import load, name


class Network(kserve.Model):  # type: ignore[misc] # the same
    """One run a request."""

    def __init__(self) -> None:
        super().__init__(name())
        self.run = load()
        self.ready = True

    async def predict(
        self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None
    ) -> dict[str, Any]:
        """Answer the rows of a request."""
        del headers, response_headers
        return {"predictions": self.run(np.array(payload["instances"], np.float32)).tolist()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    arguments = parser.parse_args()
    kserve.ModelServer(
        http_port=arguments.http_port, workers=1, enable_grpc=False, access_log_format=None
    ).start([Network()])
