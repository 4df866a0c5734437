"""Everything that a person may choose about a training, as one document."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from lockstep.artifact.columns import Kind
from lockstep.errors import InvalidSetting, NotFound, Unreadable
from lockstep_train.configuration.data import DataConfiguration
from lockstep_train.configuration.export import ExportConfiguration
from lockstep_train.configuration.network import NetworkConfiguration
from lockstep_train.configuration.preprocessing import PreprocessingConfiguration
from lockstep_train.configuration.section import Section
from lockstep_train.configuration.training import TrainingConfiguration


class Configuration(Section):
    """Everything that decides, together with the data, which network comes out."""

    data: DataConfiguration = Field(default_factory=DataConfiguration)
    columns: dict[str, Kind] = Field(
        default_factory=dict, description="Kinds of columns, where the inferred one is wrong."
    )
    preprocessing: PreprocessingConfiguration = Field(default_factory=PreprocessingConfiguration)
    network: NetworkConfiguration = Field(default_factory=NetworkConfiguration)
    training: TrainingConfiguration = Field(default_factory=TrainingConfiguration)
    export: ExportConfiguration = Field(default_factory=ExportConfiguration)

    @model_validator(mode="after")
    def _batches_have_a_variance(self) -> Self:
        if self.network.batch_norm and self.training.batch_size == 1:
            raise InvalidSetting(
                "training.batch_size must be at least 2 with network.batch_norm: one row has no "
                "variance. Take a larger batch, or set network.batch_norm = false."
            )
        return self

    @classmethod
    def from_toml(
        cls, path: Path, changes: Mapping[str, Mapping[str, object]] | None = None
    ) -> Self:
        """Read a TOML file, whose sections are the attributes of this class.

        Args:
            path: the file; a setting that it leaves out has its default.
            changes: settings that win over the file's, by section and name.

        Raises:
            NotFound: there is no such file.
            Unreadable: the file is not TOML.
            InvalidSetting: an unknown setting, or a value out of its bounds.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotFound(f"There is no settings file {path}.") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Unreadable(f"{path} cannot be read as TOML: {error}.") from error
        for section, settings in (changes or {}).items():
            given = values.setdefault(section, {})
            if isinstance(given, dict):  # anything else is refused below, with a sentence
                given.update(settings)
        try:
            return cls.model_validate(values)
        except InvalidSetting as error:
            raise InvalidSetting(f"{path}: {error}") from error
