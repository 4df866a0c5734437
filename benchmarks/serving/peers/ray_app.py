"""Ray Serve with its batching on: ``python -m benchmarks.serving.peers.ray_app PORT``."""

from __future__ import annotations

import signal
import sys
from typing import Any

import numpy as np
import ray  # type: ignore[import-not-found] # lives in an environment of its own
from ray import serve
from starlette.requests import Request

from benchmarks.serving.peers.network import MAX_BATCH_ROWS, load


@serve.deployment(max_ongoing_requests=2 * MAX_BATCH_ROWS)
class Network:
    """One row a request, many a run."""

    def __init__(self) -> None:
        self.run = load()

    @serve.batch(max_batch_size=MAX_BATCH_ROWS, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator] # ray has no types here
    async def answer(self, rows: list[Any]) -> list[Any]:
        """Run what Ray Serve has gathered."""
        return list(self.run(np.stack(rows)).tolist())

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one request."""
        row = np.array((await request.json())["instances"], np.float32)[0]
        return {"predictions": [await self.answer(row)]}


if __name__ == "__main__":
    ray.init(include_dashboard=False, logging_level="warning")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Network.bind(), route_prefix="/predict")  # type: ignore[attr-defined] # made by the decorator
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
