"""From a data set to a proved artifact: fit, calibrate, evaluate, export, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lockstep.artifact.folder import Artifact
from lockstep.proof.certificate import Certificate
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.evaluate.calibrate import Calibration, calibrated
from lockstep_train.evaluate.evaluate import evaluate
from lockstep_train.evaluate.metrics import Metrics
from lockstep_train.export.export import export
from lockstep_train.fit.curves import Epoch
from lockstep_train.fit.fit import Fit, fit

CHECKPOINTS = Path(".lockstep/checkpoints")


@dataclass(frozen=True)
class Trained:
    """A network that was fitted, calibrated and measured.

    Attributes:
        dataset: its rows.
        fit: the network, and how it came to be.
        calibration: of the probabilities; None for a regression, or where it was not asked for.
        metrics: on the test split, calibrated.
    """

    dataset: Dataset
    fit: Fit
    calibration: Calibration | None
    metrics: Metrics

    def export(
        self, models: Path, name: str, version: int | None = None
    ) -> tuple[Artifact, Certificate]:
        """Write the artifact, once its files are proved; see `export.export.export`."""
        return export(
            self.fit,
            self.dataset,
            self.metrics,
            models=models,
            name=name,
            version=version,
            calibration=self.calibration,
        )


def train(
    configuration: Configuration,
    dataset: Dataset,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Fit a network, then measure it; the arguments are those of `fit.fit.fit`.

    Raises:
        Diverged: a loss is not a finite number.
        InvalidSetting: settings that do not go with the data or with the checkpoint.
        Unreadable: the checkpoint is missing or damaged.
        KeyboardInterrupt: before the first epoch was over.
    """
    fitted = fit(configuration, dataset, on_epoch=on_epoch, checkpoint=checkpoint, resume=resume)
    return measured(fitted, dataset)


def measured(fitted: Fit, dataset: Dataset) -> Trained:
    """Calibrate a fitted network on the validation split, then look at the test split, once."""
    calibration = calibrated(fitted, dataset)
    return Trained(dataset, fitted, calibration, evaluate(fitted.network, dataset.test))
