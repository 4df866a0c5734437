"""LitServe with its batching on: ``python -m benchmarks.serving.peers.litserve_app PORT``."""

from __future__ import annotations

import sys
from typing import Any

import litserve  # type: ignore[import-not-found] # lives in an environment of its own
import numpy as np

from benchmarks.serving.peers.network import MAX_BATCH_ROWS, load


class Network(litserve.LitAPI):  # type: ignore[misc] # the same
    """One row a request, many a run."""

    def setup(self, device: str) -> None:
        """Load the network, in the worker's process."""
        del device
        self.run = load()

    def decode_request(self, request) -> Any:  # type: ignore[no-untyped-def] # noqa: ANN001 - a type would become a query parameter
        """The row of a request."""
        return np.array(request["instances"], np.float32)[0]

    def predict(self, features: Any) -> Any:
        """Run what LitServe has stacked."""
        return self.run(features)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The answer to a request."""
        return {"predictions": [output.tolist()]}


if __name__ == "__main__":
    server = litserve.LitServer(Network(max_batch_size=MAX_BATCH_ROWS), accelerator="cpu")
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
