"""What `lockstep train` does once its flags are read, and what it tells meanwhile."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lockstep.display import plain_table, show_sealed
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.console import say, tell_data
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.sources.load import load
from lockstep_train.defaults import settle_defaults
from lockstep_train.evaluate.evaluate import baseline
from lockstep_train.evaluate.metrics import Metrics
from lockstep_train.folds.cross_validation import (
    CrossValidation,
    cross_validate,
    ensemble_of,
    figure_rows,
)
from lockstep_train.job import Job
from lockstep_train.pipeline import CHECKPOINTS, Trained, measured, train
from lockstep_train.progress import follow
from lockstep_train.report.curves import curve_columns, curve_rows, describe_curves

FOLDS = Path(".lockstep/folds")


def train_source(job: Job, configuration: Configuration, console: Console) -> None:
    """Read the source, fit, calibrate, evaluate, export, and tell of each.

    Raises:
        InvalidSetting: settings, data or a repository with which it cannot be done.
        Unreadable: a file that cannot be trained on.
        Disproved: files that contradict inference mode; nothing is written then.
    """
    dataset = load(job.source, configuration)
    configuration = settle_defaults(configuration, dataset)
    tell_data(console, dataset)
    if job.folds is not None:
        trained = _cross_validated(job, job.folds, configuration, dataset, console)
    else:
        with follow(console, configuration.training.epochs) as on_epoch:
            trained = train(
                configuration,
                dataset,
                on_epoch=on_epoch,
                checkpoint=CHECKPOINTS / job.name,
                resume=job.resume,
            )
    if not trained.fit.leads:  # another process of the same training writes
        return
    if job.folds is None:
        _tell_fit(console, trained)
    if job.writes:
        _tell_metrics(console, trained)
        artifact, certificate = trained.export(job.models, job.name)
        show_sealed(console, artifact, certificate)
        if why := (artifact.manifest.training or {}).get("inexact"):
            say(console, f"Exported in float32. {why}")
        where = "" if job.models == Path("models") else f" --models {job.models}"
        say(console, f"Serve it: lockstep serve{where}")


def _cross_validated(
    job: Job, count: int, configuration: Configuration, dataset: Dataset, console: Console
) -> Trained:
    validation = cross_validate(
        configuration,
        dataset,
        count,
        with_test=not job.ensemble and configuration.data.test is None,
        on_fold=lambda fold: say(
            console,
            f"fold {fold.fold.number} of {count}: best epoch {fold.fit.best_epoch}, "
            f"{_metrics_text(fold.metrics)}",
        ),
    )
    _tell_folds(console, validation, FOLDS / f"{job.name}.csv")
    return measured(ensemble_of(validation), dataset)


def _tell_fit(console: Console, trained: Trained) -> None:
    console.print(plain_table(curve_columns(trained.fit), curve_rows(trained.fit)))
    say(console, describe_curves(trained.fit))


def _tell_metrics(console: Console, trained: Trained) -> None:
    if trained.calibration is not None:
        say(console, trained.calibration.note)
    rows, metrics = trained.metrics.rows, _metrics_text(trained.metrics)
    say(console, f"On the {rows:,} rows of the held-out test split: {metrics}.")
    say(console, f"The trivial answer there: {_metrics_text(baseline(trained.dataset))}.")


def _tell_folds(console: Console, validation: CrossValidation, path: Path) -> None:
    folds = (f"fold {measured.fold.number}" for measured in validation.folds)
    console.print(plain_table(("figure", "mean ± deviation", *folds), figure_rows(validation)))
    path.parent.mkdir(parents=True, exist_ok=True)
    validation.write(path)
    say(console, f"The answers of the networks that never saw the row: {path}")


def _metrics_text(metrics: Metrics) -> str:
    figures = metrics.as_dict().items()
    return ", ".join(f"{name} {value:.4g}" for name, value in figures if name != "rows")
