"""The settings that a study found, as a file that a training takes."""

from __future__ import annotations

import textwrap

import tomlkit
from pydantic import BaseModel
from tomlkit.items import Table

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.tune.result.tuning import Tuning

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
