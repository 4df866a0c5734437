"""The manifest: the description of an artifact."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lockstep.artifact.columns import Column
from lockstep.errors import InvalidSetting, Unreadable

FORMAT: Final = 1
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Task = Literal["classification", "regression", "tensors"]
Precision = Literal["float32", "exact"]
Label = int | float | str | bool


class TensorSpec(BaseModel):
    """A named tensor of the model, as the Open Inference Protocol describes one.

    Attributes:
        name: its name in the graph.
        datatype: ``FP32``, ``INT64``, ``BYTES``, …
        shape: with -1 where the size varies; the first axis is the batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    datatype: str
    shape: tuple[int, ...]


class SealedFile(BaseModel):
    """Digest and size of one file of the artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Manifest(BaseModel):
    """The description of an artifact.

    Attributes:
        format: version of this file's layout.
        name: of the model, as the repository serves it.
        version: counted from 1.
        task: ``classification`` (outputs ``probabilities``), ``regression`` (outputs
            ``prediction``), or ``tensors`` (an imported model, whose outputs keep their names).
        precision: the arithmetic of the network: ``float32``, or ``exact``, where no partial sum
            rounds.
        origin: ``trained`` here, with an eager network as reference, or ``imported``, whose
            reference is its own run with optimisations off.
        columns: of the input, in order; empty where an instance is itself a tensor.
        classes: the labels in the order of the probabilities, with their JSON types.
        training: configuration and seed.
        metrics: on the held-out split.
        tools: versions of the software that made it.
        files: every other file but ``digest``, sealed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    name: str
    version: int = Field(ge=1)
    task: Task
    precision: Precision = "float32"
    origin: Literal["trained", "imported"]
    created: datetime
    columns: tuple[Column, ...] = ()
    classes: tuple[Label, ...] | None = None
    target: str | None = None
    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    training: dict[str, Any] | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    tools: dict[str, str] = Field(default_factory=dict)
    files: dict[str, SealedFile] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        check_name(name)
        return name

    @field_validator("files")
    @classmethod
    def _check_paths(cls, files: dict[str, SealedFile]) -> dict[str, SealedFile]:
        for path in files:
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or "\\" in path:
                raise ValueError(f"the path {path!r} leaves the artifact's folder")
        return files

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        shape = self.inputs[0].shape
        if self.columns and shape[1:] != (len(self.columns),):
            raise ValueError(f"{len(self.columns)} columns do not fit an input of shape {shape}")
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ValueError("two columns have the same name")
        if self.task == "regression" and self.outputs[0].shape != (-1, 1):
            raise ValueError(f"a regression answers [batch, 1], not {self.outputs[0].shape}")
        if self.task == "classification" and self.outputs[0].shape[1:] != (
            len(self.classes or ()),
        ):
            raise ValueError("the number of classes is not the width of the output")
        return self

    @property
    def instance_shape(self) -> tuple[int, ...]:
        """Shape of one instance, without the batch axis."""
        return self.inputs[0].shape[1:]

    @cached_property
    def all_numeric(self) -> bool:
        """Whether there are columns, none is categorical, and none may have a missing value."""
        return bool(self.columns) and not any(
            column.kind == "categorical" or column.missing_allowed for column in self.columns
        )

    def to_bytes(self) -> bytes:
        """The file's content: indented UTF-8 JSON that ends in a newline."""
        return (
            json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a manifest.

        Raises:
            Unreadable: where it is not JSON, or not a manifest of this format.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise Unreadable(f"manifest.json is not a manifest: {first_problem(error)}.") from error


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, as a clause."""
    problem = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else problem["msg"]


def check_name(name: str) -> None:
    """Refuse a model name that is not a plain folder name.

    Raises:
        InvalidSetting: with the rule.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidSetting(
            f"A model's name must be 1 to 64 letters, digits, dots, dashes or underscores, "
            f"beginning with a letter or digit, however: {name!r}."
        )


def check_version(version: int) -> None:
    """Refuse a version number below 1.

    Raises:
        InvalidSetting: with the rule.
    """
    if version < 1:
        raise InvalidSetting(f"A version must be a whole number from 1, however: {version}.")
