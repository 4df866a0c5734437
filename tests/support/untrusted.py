"""A table of every kind of column whose names, labels and notes try to become markup."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lockstep.artifact.columns import Column, describe_columns
from lockstep.artifact.folder import Artifact
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.evaluate.calibrate import Calibration, calibrate
from lockstep_train.evaluate.evaluate import evaluate
from lockstep_train.export.export import export
from lockstep_train.fit.fit import Fit, fit

SCRIPT = "<script>alert('{}')</script>"
ROWS = 400
SETTINGS = {
    "columns": {"a | b": "numeric"},
    "network": {"hidden": [16, 8], "members": 2},
    "training": {"epochs": 6},
}


class Untrusted(NamedTuple):
    """What was trained, on what, how it was calibrated, and the artifact."""

    fit: Fit
    dataset: Dataset
    calibration: Calibration
    artifact: Artifact


def untrusted(models: Path) -> Untrusted:
    """Train on the table and write the artifact ``models/untrusted/1``."""
    configuration = Configuration.model_validate(SETTINGS)
    dataset = table()
    fitted = fit(configuration, dataset)
    calibration = calibrate(fitted.network, dataset.validation)
    metrics = evaluate(fitted.network, dataset.test)
    written, _ = export(
        fitted, dataset, metrics, models=models, name="untrusted", calibration=calibration
    )
    return Untrusted(fitted, dataset, calibration, written)


def table() -> Dataset:
    """Numbers, categories, more of them, and yes or no; some missing, some never seen."""
    generator = np.random.default_rng(0)
    number, colour, city, member = (
        generator.normal(5, 2, ROWS),
        generator.integers(0, 3, ROWS),
        generator.integers(0, 20, ROWS),
        generator.integers(0, 2, ROWS).astype(float),
    )
    score = number - 5 + colour + member + generator.normal(0, 2, ROWS)
    number[::9] = np.nan
    member[::17] = np.nan
    features = np.column_stack([number, number, colour, city, member]).astype(np.float32)
    targets = np.digitize(score, [0, 2])
    cuts = ((0, ROWS // 2), (ROWS // 2, 3 * ROWS // 4), (3 * ROWS // 4, ROWS))
    parts = [Split(features[a:b], targets[a:b]) for a, b in cuts]
    return Dataset(
        name=f"tables/{SCRIPT.format('source')}|.csv",
        task="classification",
        columns=_columns(parts[0].features),
        classes=(SCRIPT.format("label"), "b|c\n## heading", "$\\frac{`` `x"),
        target_name=f"target</title>{SCRIPT.format('target')}",
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        notes=(f"The column {SCRIPT.format('note')} | is\n\n# odd [here](javascript:alert(1)).",),
    )


def _columns(features: np.ndarray) -> tuple[Column, ...]:
    level, width = describe_columns(("a | b", SCRIPT.format("column")), features[:, :2])
    colours = ("red|", SCRIPT.format("category"), "blue\n- item")
    return (
        level,
        width.model_copy(update={"unit": "<b>mm</b>"}),
        Column(
            name="colour\n| `x` |",
            kind="categorical",
            vocabulary=colours,
            unknown_allowed=True,
            frequencies=dict(zip(colours, (0.5, 0.25, 0.25), strict=True)),
        ),
        Column(
            name="**city**",
            kind="categorical",
            vocabulary=tuple(f"city {number}" for number in range(20)),
            unknown_allowed=True,
            missing_allowed=True,
        ),
        Column(name='" onmouseover="alert(1)', kind="boolean", missing_allowed=True),
    )
