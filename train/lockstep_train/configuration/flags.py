"""From the flags of a command line, and a settings file, to a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration


def configured(
    file: Path | None, kinds: Sequence[str] | None, **sections: Mapping[str, object]
) -> Configuration:
    """The configuration that a file and flags make together; a flag wins.

    Args:
        file: TOML, or None.
        kinds: ``COLUMN=KIND`` each.
        sections: settings by section; None where a flag was not given.

    Raises:
        NotFound: there is no such file.
        Unreadable: the file is not TOML.
        InvalidSetting: an unknown setting, a value out of its bounds, or a flag without ``=``.
    """
    changes: dict[str, dict[str, object]] = {
        section: {name: value for name, value in settings.items() if value is not None}
        for section, settings in sections.items()
    }
    changes["columns"] = dict(map(_kind, kinds or ()))
    given = {section: settings for section, settings in changes.items() if settings}
    if file is None:
        return Configuration.model_validate(given)
    return Configuration.from_toml(file, given)


def _kind(flag: str) -> tuple[str, str]:
    column, equals, kind = flag.rpartition("=")
    if not equals or not column:
        raise InvalidSetting(
            f"--kind must be COLUMN=KIND, as in --kind zip=categorical, got {flag!r}."
        )
    return column, kind
