"""The two networks that the benchmark serves, made by Lockstep's own trainer and export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockstep.artifact.columns import describe_columns
from lockstep.artifact.manifest import Precision
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.evaluate.evaluate import evaluate
from lockstep_train.export.export import export
from lockstep_train.fit.fit import fit


@dataclass(frozen=True)
class Shape:
    """Widths of a network, from the input to the head."""

    name: str
    features: int
    hidden: tuple[int, ...]
    classes: int

    def __str__(self) -> str:
        return "-".join(map(str, (self.features, *self.hidden, self.classes)))


TABULAR = Shape("tabular", 14, (128, 64), 2)
IMAGE = Shape("image", 784, (512, 256), 10)
SHAPES = (TABULAR, IMAGE)


def make(shape: Shape, models: Path, precision: Precision = "float32") -> Path:
    """The artifact of a shape; made once, on random rows: what it answers does not matter here.

    Args:
        shape: of the network.
        models: folder of the artifacts.
        precision: of its arithmetic; the weights are the same.
    """
    path = models / precision / shape.name / "1"
    if path.exists():
        return path
    generator = np.random.default_rng(0)
    parts = [
        Split(
            generator.standard_normal((512, shape.features)).astype(np.float32),
            generator.integers(0, shape.classes, 512),
        )
        for _ in range(3)
    ]
    dataset = Dataset(
        name=shape.name,
        task="classification",
        columns=describe_columns([f"column_{i}" for i in range(shape.features)], parts[0].features),
        classes=tuple(range(shape.classes)),
        target_name="class",
        train=parts[0],
        validation=parts[1],
        test=parts[2],
    )
    settings = {
        "network": {"hidden": list(shape.hidden)},
        "training": {"epochs": 1},
        "export": {"precision": precision},
    }
    fitted = fit(Configuration.model_validate(settings), dataset)
    metrics = evaluate(fitted.network, dataset.test)
    export(fitted, dataset, metrics, models=models / precision, name=shape.name, version=1)
    return path
