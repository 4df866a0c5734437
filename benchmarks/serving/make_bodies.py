"""Makes the request bodies in ``bodies/``; they are committed, so that every run sends the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson

from benchmarks.serving.networks import SHAPES

BODIES = Path(__file__).parent / "bodies"


def main() -> None:
    """Write, for each network, one row in plain JSON, in the protocol's JSON, and in binary."""
    for shape in SHAPES:
        row = np.random.default_rng(1).standard_normal((1, shape.features)).astype(np.float32)
        plain = orjson.dumps({"instances": row}, option=orjson.OPT_SERIALIZE_NUMPY)
        tensor = {"name": "features", "shape": row.shape, "datatype": "FP32", "data": row.ravel()}
        infer = orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)
        (BODIES / f"{shape.name}.json").write_bytes(plain)
        (BODIES / f"{shape.name}.oip.json").write_bytes(infer)
        (BODIES / f"{shape.name}.bin").write_bytes(row.tobytes())


if __name__ == "__main__":
    main()
