"""Exact precision against float32: engine time at an image's and at a table's size.

python benchmarks/exact.py
"""

from __future__ import annotations

import time

import numpy as np
import torch

from lockstep.artifact.columns import Column
from lockstep.artifact.manifest import TensorSpec
from lockstep.engine.engine import open_engine
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.exact.network import ExactNetwork
from lockstep_train.export.onnx_file import to_onnx
from lockstep_train.network.network import Answering, Network

SIZES = {"784-512-256-10": (784, (512, 256), 10), "14-128-64-2": (14, (128, 64), 2)}
ROWS = (1, 64)
ROUNDS = 10
SECONDS = 0.05


def network(n_features: int, hidden: tuple[int, ...], n_classes: int) -> tuple[Network, Dataset]:
    """An untrained network whose BatchNorms have seen some rows, and its data."""
    generator = np.random.default_rng(0)
    features = generator.normal(5, 3, (512, n_features)).astype(np.float32)
    split = Split(features, generator.integers(0, n_classes, 512))
    dataset = Dataset(
        name="drawn",
        task="classification",
        columns=tuple(Column(name=f"column {j}") for j in range(n_features)),
        classes=tuple(range(n_classes)),
        target_name="class",
        train=split,
        validation=split,
        test=split,
    )
    torch.manual_seed(0)
    made = Network.of(Configuration.model_validate({"network": {"hidden": list(hidden)}}), dataset)
    with torch.no_grad():
        made.train()(torch.tensor(features))
    return made.eval(), dataset


def fastest(run: object, features: np.ndarray) -> float:
    """Microseconds of a run: the least of several rounds, for the machine is shared."""
    found = []
    for _ in range(ROUNDS):
        runs, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < SECONDS:
            run(features)
            runs += 1
        found.append(1e6 * (time.perf_counter() - begin) / runs)
    return min(found)


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    print("| network | rows | float32, µs | exact, µs | ratio |\n|---|---|---|---|---|")
    for name, (n_features, hidden, n_classes) in SIZES.items():
        made, dataset = network(n_features, hidden, n_classes)
        features = dataset.train.features
        output = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, n_classes))
        engines = [
            open_engine("onnx", to_onnx(module, features[:4], output.name), (output,))
            for module in (Answering(made).eval(), ExactNetwork(made, features))
        ]
        for rows in ROWS:
            times = [fastest(engine.run, features[:rows].copy()) for engine in engines]
            print(
                f"| {name} | {rows} | {times[0]:.0f} | {times[1]:.0f} | "
                f"{times[1] / times[0]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
