"""`lockstep train` and `lockstep tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lockstep.cli.data_flags import DataFlags, TrainingFlags
from lockstep.cli.exit_codes import INTERRUPTED, PROVED
from lockstep.cli.flags import with_flags
from lockstep.cli.options import Models

if TYPE_CHECKING:
    from lockstep_train.configuration.configuration import Configuration

SOURCES = (
    "CSV, Parquet, Arrow, NPZ or a folder of IDX files; or digits, wine, breast_cancer, diabetes."
)
SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCES)]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.toml", help="Settings of the training.")
]


@with_flags
def train(
    source: SourceArgument,
    data: DataFlags,
    training: TrainingFlags,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name; by default the source's.")
    ] = None,
    models: Models = Path("models"),
    config: Config = None,
    members: Annotated[
        int | None, typer.Option("--members", help="Networks whose answers are averaged.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="exact: the same bits on every processor; or float32."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", metavar="K", help="Cross-validate; no artifact.")
    ] = None,
    fold_ensemble: Annotated[
        bool,
        typer.Option("--fold-ensemble", help="With --folds: the folds' networks as the artifact."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted training was.")
    ] = False,
) -> int:
    """Train a network on SOURCE, export it, prove it, and write it as an artifact."""
    from lockstep_train.job import Job, model_name

    job = Job(
        source, name or model_name(source), models, folds, ensemble=fold_ensemble, resume=resume
    )

    from rich.console import Console

    from lockstep_train.command import train_source

    configuration = _configuration(
        config, data, training, network={"members": members}, export={"precision": precision}
    )
    train_source(job, configuration, Console(highlight=False))
    return PROVED


@with_flags
def tune(
    source: SourceArgument,
    data: DataFlags,
    training: TrainingFlags,
    study: Annotated[
        str | None, typer.Option("--study", help="The study's name; by default the source's.")
    ] = None,
    config: Config = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.toml", help="By default STUDY.toml."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", help="The study ends with so many.")] = 50,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="Processes.")] = 1,
    folds: Annotated[
        int, typer.Option("--folds", metavar="K", help="Judge by the mean of K folds.")
    ] = 1,
    grid: Annotated[
        Path | None,
        typer.Option("--grid", metavar="FILE.toml", help="Try all combinations of its lists."),
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="A database of Optuna's.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="After these no trial is started.")
    ] = None,
) -> int:
    """Search for better settings; the same command goes on with a study that was interrupted."""
    from rich.console import Console

    from lockstep_train.job import model_name
    from lockstep_train.tune.command import tune_source
    from lockstep_train.tune.tune import Plan

    plan = Plan(
        study or model_name(source),
        storage,
        trials,
        jobs,
        folds,
        limit_s=None if minutes is None else 60 * minutes,
    )
    configuration = _configuration(config, data, training)
    interrupted = tune_source(source, configuration, plan, grid, output, Console(highlight=False))
    return INTERRUPTED if interrupted else PROVED


def _configuration(
    file: Path | None,
    data: DataFlags,
    training: TrainingFlags,
    **sections: dict[str, object],
) -> Configuration:
    from lockstep_train.configuration.flags import configured

    return configured(
        file, data.kind, data=data.settings(), training=training.settings(), **sections
    )
