"""MLServer with its adaptive batching on: ``mlserver start benchmarks/serving/peers/mlserver``."""

from __future__ import annotations

from mlserver import MLModel  # type: ignore[import-not-found] # lives in an environment of its own
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found] # the same
from mlserver.types import (  # type: ignore[import-not-found] # the same
    InferenceRequest,
    InferenceResponse,
)

from benchmarks.serving.peers.network import load


class Network(MLModel):  # type: ignore[misc] # the same
    """One row a request, many a run."""

    async def load(self) -> bool:
        """Load the network."""
        self.run = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run what MLServer has stacked."""
        output = self.run(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output("probabilities", output)],
        )
