"""What a study found, as files and rows of tables: settings for a training, and its best trials."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel
from tomlkit.items import Table

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.report.markdown import markdown_table
from lockstep_train.tune.tuning import Attempt, Tuning

SHOWN_TRIALS = 10
COMMENT_WIDTH = 96


def settings_document(tuning: Tuning) -> str:
    """The best configuration as TOML: every setting with its value, and what it means."""
    best, given = tuning.best, tuning.given
    document = tomlkit.document()
    judged = "validation loss" if tuning.folds == 1 else f"mean loss of {tuning.folds} folds"
    document.add(
        tomlkit.comment(
            f"Trial {best.number} of the study {tuning.name}, the best of {len(tuning.attempts)}: "
            f"{judged} {best.loss:.6g}."
        )
    )
    if given is not None:
        document.add(tomlkit.comment(f"The configuration that it started from: {given.loss:.6g}."))
    document.add(tomlkit.comment("lockstep train SOURCE --config THIS_FILE takes it."))
    configuration, searched = tuning.configuration, set(_searched(tuning))
    for section in Configuration.model_fields:
        value = getattr(configuration, section)
        document.add(tomlkit.nl())
        if isinstance(value, BaseModel):
            document.add(section, _section(section, value, searched))
        else:
            table = tomlkit.table()
            table.comment(str(Configuration.model_fields[section].description))
            for name, kind in value.items():
                table.add(name, kind)
            document.add(section, table)
    return tomlkit.dumps(document)


def _section(section: str, settings: BaseModel, searched: set[str]) -> Table:
    table = tomlkit.table()
    for name, field in type(settings).model_fields.items():
        table.add(tomlkit.nl())
        for line in textwrap.wrap(str(field.description), COMMENT_WIDTH):
            table.add(tomlkit.comment(line))
        value = getattr(settings, name)
        if value is None:
            table.add(tomlkit.comment(f"{name} is not set."))
            continue
        item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
        if f"{section}.{name}" in searched:
            item.comment("searched")
        table.add(name, item)
    return table


def _searched(tuning: Tuning) -> list[str]:
    names = [dimension.name for dimension in tuning.space.dimensions]
    return [
        "network.hidden" if name in {"network.width", "network.depth"} else name for name in names
    ]


def write_settings(tuning: Tuning, path: Path) -> None:
    """Write `settings_document` to a file.

    Raises:
        InvalidSetting: the file cannot be written.
    """
    try:
        path.write_text(settings_document(tuning), encoding="utf-8")
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be written: {error.strerror}.") from error


def trial_columns(tuning: Tuning) -> tuple[str, ...]:
    """The headings of `trial_rows`: the settings' own names, without their sections."""
    names = [dimension.name.split(".")[-1] for dimension in tuning.space.dimensions]
    return ("trial", "validation loss" if tuning.folds == 1 else "mean loss", *names)


def trial_rows(tuning: Tuning, most: int = SHOWN_TRIALS) -> list[tuple[str, ...]]:
    """The best trials, the best one first, and the configuration that was given.

    Args:
        tuning: the study.
        most: number of rows; the given configuration's is added where it is not among them.
    """
    shown = list(tuning.ranked[:most])
    if tuning.given is not None and tuning.given not in shown:
        shown.append(tuning.given)
    return [_trial_row(tuning, attempt) for attempt in shown]


def _trial_row(tuning: Tuning, attempt: Attempt) -> tuple[str, ...]:
    number = f"{attempt.number} (as given)" if attempt.given else str(attempt.number)
    values = _values(tuning, attempt)
    settings = [_shown(values[dimension.name]) for dimension in tuning.space.dimensions]
    return (number, f"{attempt.loss:.5f}", *settings)


def _values(tuning: Tuning, attempt: Attempt) -> Mapping[str, Any]:
    return tuning.space.given_values() if attempt.given else attempt.values


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def influence_rows(tuning: Tuning) -> list[tuple[str, ...]]:
    """What mattered, as rows of a table: setting, its share, and what to take."""
    return [
        (influence.name, f"{100 * influence.share:.0f} %", influence.direction)
        for influence in tuning.influences
    ]


def describe_study(tuning: Tuning) -> str:
    """What the study holds, in two or three sentences."""
    pruned = sum(attempt.ending == "pruned" for attempt in tuning.attempts)
    diverged = sum("diverged" in attempt.sentence for attempt in tuning.attempts)
    counts = f"{len(tuning.ranked)} trials were measured to their end, {pruned} were ended before"
    counts += f" ({diverged} of them diverged)." if diverged else "."
    best, given = tuning.best, tuning.given
    if given is None:
        result = f"The best is trial {best.number} with a loss of {best.loss:.5f}."
    elif best.given:
        result = f"None was better than the configuration as given, whose loss is {best.loss:.5f}."
    else:
        result = (
            f"The best is trial {best.number} with a loss of {best.loss:.5f}; the configuration "
            f"as given has {given.loss:.5f}."
        )
    if tuning.interrupted:
        result += " The study was interrupted: the same command goes on with it."
    return f"{counts} {result}"


def study_markdown(tuning: Tuning) -> str:
    """The study as a Markdown text: what it holds, the best trials, what mattered."""
    parts = [
        f"# Study {tuning.name}",
        describe_study(tuning),
        markdown_table(trial_columns(tuning), trial_rows(tuning)),
    ]
    if tuning.influences:
        parts += [
            "What mattered (PED-ANOVA), and in which direction:",
            markdown_table(("setting", "share", "direction"), influence_rows(tuning)),
        ]
    return "\n\n".join(parts) + "\n"
