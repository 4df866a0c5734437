"""Triton's HTTP front end with a Python model: ``… -m benchmarks.serving.peers.pytriton_app``.

Arguments: ports for HTTP, gRPC and metrics, and the number of features. Dynamic batching is on.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from pytriton.decorators import batch  # type: ignore[import-not-found] # an environment of its own
from pytriton.model_config import (  # type: ignore[import-not-found] # the same
    DynamicBatcher,
    ModelConfig,
    Tensor,
)
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found] # the same

from benchmarks.serving.peers.network import MAX_BATCH_ROWS, load, name


def main(http_port: int, grpc_port: int, metrics_port: int, features: int) -> None:
    """Serve until a signal stops the process."""
    run = load()

    @batch  # type: ignore[untyped-decorator] # the same
    def infer(features: Any) -> list[Any]:
        return [run(features)]

    ports = TritonConfig(
        http_address="127.0.0.1",
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
    )
    with Triton(config=ports) as triton:
        triton.bind(
            model_name=name(),
            infer_func=infer,
            inputs=[Tensor(name="features", dtype=np.float32, shape=(features,))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(max_batch_size=MAX_BATCH_ROWS, batcher=DynamicBatcher()),
        )
        triton.serve()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
