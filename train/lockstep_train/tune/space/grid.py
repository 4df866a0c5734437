"""A grid: lists of values for settings, as a TOML file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from lockstep.errors import InvalidSetting, NotFound, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.section import Section, did_you_mean

GRID_SECTIONS = ("preprocessing", "network", "training")
"""What a grid may vary: the rows and their columns are the same in every trial."""


def read_grid(path: Path) -> dict[str, tuple[Any, ...]]:
    """Read a grid: the tables of a settings file, with a list of values for each setting.

    Returns:
        The values by the setting's name with its section, in the order of the file.

    Raises:
        NotFound: there is no such file.
        Unreadable: it is not TOML.
        InvalidSetting: an unknown setting, or values that are no list.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"There is no grid {path}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Unreadable(f"{path} cannot be read as TOML: {error}.") from error
    values: dict[str, tuple[Any, ...]] = {}
    for section, settings in document.items():
        known = _settings(path, section, settings)
        for setting, listed in settings.items():
            name = f"{section}.{setting}"
            if setting not in known:
                raise InvalidSetting(
                    f"{path}: there is no setting {name}.{did_you_mean(setting, known)} "
                    f"There are: {', '.join(known)}."
                )
            values[name] = _listed(path, name, listed)
    if not values:
        raise InvalidSetting(
            f"{path} lists no values: give a list for a setting, such as [network] and "
            "dropout = [0.1, 0.3] below it."
        )
    return values


def _settings(path: Path, section: str, settings: Any) -> list[str]:
    """The settings that a section of a grid may hold."""
    if section not in GRID_SECTIONS:
        raise InvalidSetting(
            f"{path}: a grid has no section {section}.{did_you_mean(section, GRID_SECTIONS)} "
            f"There are: {', '.join(GRID_SECTIONS)}."
        )
    if not isinstance(settings, dict):
        raise InvalidSetting(f"{path}: {section} must be a table of settings, got {settings!r}.")
    kind = Configuration.model_fields[section].annotation
    if not (isinstance(kind, type) and issubclass(kind, Section)):
        raise TypeError(f"{section} must be a Section, got {kind}.")
    # The seed decides the split, and a study is about one split.
    return [name for name in kind.model_fields if name != "seed"]


def _listed(path: Path, name: str, listed: Any) -> tuple[Any, ...]:
    if not isinstance(listed, list) or not listed:
        raise InvalidSetting(
            f"{path}: {name} must be a list of at least one value, got {listed!r}."
        )
    try:
        values = {json.dumps(value): value for value in listed}
    except TypeError as error:
        raise InvalidSetting(
            f"{path}: {name} must list numbers, words, true, false or lists of numbers: {error}."
        ) from error
    return tuple(tuple(value) if isinstance(value, list) else value for value in values.values())
