"""What `lockstep tune` does once its flags are read, and what it tells meanwhile."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lockstep.artifact.whole import write_file
from lockstep.display import plain_table
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.console import say, tell_data
from lockstep_train.data.sources.load import load
from lockstep_train.defaults import settle_defaults
from lockstep_train.tune.result.plot import draw_study
from lockstep_train.tune.result.settings_file import settings_document
from lockstep_train.tune.result.tables import (
    describe_study,
    influence_rows,
    study_markdown,
    trial_columns,
    trial_rows,
)
from lockstep_train.tune.result.tuning import Attempt, Tuning
from lockstep_train.tune.space.space import Space
from lockstep_train.tune.tune import Plan, tune


def tune_source(
    source: str,
    configuration: Configuration,
    plan: Plan,
    grid: Path | None,
    output: Path | None,
    console: Console,
) -> bool:
    """Read the source, search, write what was found, and tell of it.

    Args:
        source: a path, or the name of a built-in data set.
        configuration: where the search starts from.
        plan: how long, with how many processes, and in which study.
        grid: a TOML file of lists, instead of the search's own ranges.
        output: the settings that were found; the study's name where it is None.
        console: where it is told.

    Returns:
        Whether a person ended it.

    Raises:
        InvalidSetting: settings, a grid or a study that do not go with the data, or a file that
            cannot be written.
        Unreadable: a file that cannot be trained on.
    """
    if output is not None:
        _check_settings_file(output)
    dataset = load(source, configuration)
    configuration = settle_defaults(configuration, dataset)
    space = None if grid is None else Space.from_grid(configuration, grid)
    tell_data(console, dataset)
    found = tune(
        configuration,
        dataset,
        plan,
        space=space,
        on_trial=lambda trial: _tell(console, trial),
    )
    console.print(plain_table(trial_columns(found), trial_rows(found)))
    if found.influences:
        console.print(plain_table(("setting", "share", "direction"), influence_rows(found)))
    say(console, describe_study(found))
    settings = output or Path(f"{plan.name}.toml")
    picture = write_study(found, settings)
    say(
        console,
        f"Train with it: lockstep train {source} --config {settings} (what mattered: {picture})",
    )
    return found.interrupted


def _check_settings_file(path: Path) -> None:
    """Refuse, before any work, the names of the files that lie beside the settings."""
    if path.suffix in {".png", ".md"}:
        raise InvalidSetting(
            f"The settings are written as TOML, and the study's picture and tables beside them as "
            f".png and .md, however: {path}; name it {path.with_suffix('.toml').name}."
        )


def write_study(found: Tuning, settings: Path) -> Path:
    """Write the settings that were found, with the study's picture and tables beside them.

    Each file is written whole or not at all, and replaces the one that was there.

    Args:
        found: the study's outcome.
        settings: the TOML file; the picture and the tables have its name with another suffix.

    Returns:
        The picture's path.

    Raises:
        InvalidSetting: a file cannot be written.
    """
    picture = settings.with_suffix(".png")
    contents = {
        settings: settings_document(found).encode(),
        picture: draw_study(found),
        settings.with_suffix(".md"): study_markdown(found).encode(),
    }
    for path, content in contents.items():
        try:
            write_file(path, (content,))
        except OSError as error:
            raise InvalidSetting(f"{path} cannot be written: {error.strerror or error}.") from error
    return picture


def _tell(console: Console, trial: Attempt) -> None:
    ending = f"loss {trial.loss:.5f}" if trial.loss is not None else f"ended. {trial.sentence}"
    say(console, f"trial {trial.number}: {ending} ({trial.seconds:.1f} s)")
