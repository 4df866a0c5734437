"""The manifest of a trained network, with the facts of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lockstep.artifact.manifest import Manifest, TensorSpec
from lockstep.proof.certificate import library_versions
from lockstep_train.data.dataset import Dataset
from lockstep_train.evaluate.calibrate import Calibration, calibration_figures
from lockstep_train.evaluate.evaluate import baseline
from lockstep_train.evaluate.metrics import Metrics
from lockstep_train.exact.form import ExactForm, Inexact
from lockstep_train.export.parity import RowsParity
from lockstep_train.fit.fit import Fit
from lockstep_train.network.network import Network

INPUT = "features"


def output_of(dataset: Dataset) -> TensorSpec:
    """The model's output: probabilities of the classes, or one prediction."""
    if dataset.classes is None:
        return TensorSpec(name="prediction", datatype="FP32", shape=(-1, 1))
    return TensorSpec(name="probabilities", datatype="FP32", shape=(-1, len(dataset.classes)))


def manifest_of(
    fit: Fit,
    dataset: Dataset,
    metrics: Metrics,
    name: str,
    *,
    calibration: Calibration | None = None,
    parity: Sequence[RowsParity] = (),
    form: ExactForm | Inexact | None = None,
) -> Manifest:
    """The manifest of a fitted network; the version is set when it is sealed.

    Args:
        fit: the network, its configuration and its curves.
        dataset: what it was fitted to.
        metrics: measured on the test split.
        name: of the model.
        calibration: what came of calibrating it; None where nobody tried.
        parity: measured beyond the golden rows.
        form: that is exported, or why it was refused; None where nobody wanted it.
    """
    return Manifest(
        name=name,
        version=1,
        task=dataset.task,
        precision="exact" if isinstance(form, ExactForm) else "float32",
        origin="trained",
        created=datetime.now(UTC).replace(microsecond=0),
        columns=dataset.columns,
        classes=dataset.classes,
        target=dataset.target_name,
        inputs=(TensorSpec(name=INPUT, datatype="FP32", shape=(-1, len(dataset.columns))),),
        outputs=(output_of(dataset),),
        training={
            "source": dataset.name,
            "notes": list(dataset.notes),
            "rows": {
                "train": len(dataset.train),
                "validation": len(dataset.validation),
                "test": len(dataset.test),
            },
            "configuration": fit.configuration.model_dump(mode="json"),
            "epochs": len(fit.history),
            "best_epoch": fit.best_epoch,
            "parting_epoch": fit.parting_epoch,
            "baseline": baseline(dataset).as_dict(),
            "calibration": calibration and _calibration(calibration, fit.network, dataset),
            "parity": [rows.model_dump(mode="json") for rows in parity],
            **({"exact": form.as_dict()} if isinstance(form, ExactForm) else {}),
            **({"inexact": str(form)} if isinstance(form, Inexact) else {}),
        },
        metrics=metrics.as_dict(),
        tools=library_versions(),
    )


def _calibration(calibration: Calibration, network: Network, dataset: Dataset) -> dict[str, Any]:
    test = {
        "before": calibration_figures(network, dataset.test, 1.0),
        "after": calibration_figures(network, dataset.test, calibration.temperature),
    }
    return {
        "temperature": calibration.temperature,
        "note": calibration.note,
        "validation": {"before": asdict(calibration.before), "after": asdict(calibration.after)},
        "test": {when: asdict(figures) for when, figures in test.items()},
    }
