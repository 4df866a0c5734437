"""Roles: what each column of a table is there for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.section import did_you_mean
from lockstep_train.data.split.shares import Shares
from lockstep_train.data.table import Table, listed


@dataclass(frozen=True)
class Roles:
    """What each column of a table is there for.

    Attributes:
        target: the column that is predicted.
        features: the columns that it may be predicted from, in the table's order.
        weight: says how much a row counts.
        group: equal values stay in one part.
        time: its order splits the rows.
        split: holds the name of each row's part.
    """

    target: str
    features: tuple[str, ...]
    weight: str | None = None
    group: str | None = None
    time: str | None = None
    split: str | None = None

    @classmethod
    def of(cls, table: Table, configuration: Configuration) -> Self:
        """Read the settings against the columns that there are.

        Raises:
            InvalidSetting: no target, a column that is not there, or one with two roles.
        """
        data = configuration.data
        target = data.target or table.target
        if target is None:
            raise InvalidSetting(
                f"Which column of {table.name} is to be predicted? Pass --target COLUMN. "
                f"{listed(table.frame.columns)}"
            )
        split = None if Shares.given(data.split) else data.split
        named = {
            "data.target": target,
            "data.weight": data.weight,
            "data.group": data.group,
            "data.time": data.time,
            "data.split": split,
        }
        taken: dict[str, str] = {}
        for setting, name in named.items():
            if name is not None:
                table.column(name, setting)
                if name in taken:
                    raise InvalidSetting(
                        f"{taken[name]} and {setting} both name the column {name!r}; give each a "
                        "column of its own."
                    )
                taken[name] = setting
        for name in data.drop:
            table.column(name, "data.drop")
        _check_declared(table, configuration, taken)
        apart = {*taken, *data.drop} - configuration.columns.keys()
        features = tuple(name for name in table.frame.columns if name not in apart)
        if not features:
            raise InvalidSetting(
                f"{table.name} has no column left to predict {target!r} from; drop fewer."
            )
        return cls(target, features, data.weight, data.group, data.time, split)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that has a role."""
        others = (self.target, self.weight, self.group, self.time, self.split)
        return (*self.features, *(name for name in others if name and name not in self.features))


def _check_declared(table: Table, configuration: Configuration, taken: dict[str, str]) -> None:
    """A column whose kind is set is one to predict from; group and time may be that as well."""
    for name in configuration.columns:
        if name not in table.frame.columns:
            raise InvalidSetting(
                f"[columns] names {name!r}, which {table.name} does not have."
                f"{did_you_mean(name, table.frame.columns)} {listed(table.frame.columns)}"
            )
        role = taken.get(name, "data.drop" if name in configuration.data.drop else "")
        if role in {"data.target", "data.weight", "data.split", "data.drop"}:
            raise InvalidSetting(
                f"[columns] gives {name!r} a kind, and {role} takes it away from the columns that "
                "are predicted from; leave one of the two out."
            )
