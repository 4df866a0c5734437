"""The service's settings: nobody else reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from lockstep.artifact.manifest import first_problem
from lockstep.engine.engine import EngineName
from lockstep.errors import InvalidSetting

PREFIX = "LOCKSTEP_"
PORT_VARIABLES = ("AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT", "PORT")
MODEL_VARIABLES = ("AZUREML_MODEL_DIR",)
MOUNTED_MODELS = (Path("/opt/ml/model"), Path("/mnt/models"))


class Settings(BaseSettings):
    """What the service can be told, each by a ``LOCKSTEP_`` variable of the field's name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    models: Path = Field(Path("models"), description="The repository, or one artifact.")
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - a container's
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    engine: EngineName = Field("onnx", description="What runs the rows: onnx or torchscript.")
    default_model: str | None = Field(
        None, description="The model that /predict serves where there are several."
    )
    threads: int = Field(1, ge=1, le=256, description="Intra-op threads of one run.")
    workers: int = Field(
        1, ge=1, le=256, description="Processes behind the port; one that dies is started again."
    )
    max_batch_rows: int = Field(
        256, ge=1, le=65536, description="Rows of one run; larger requests are run in pieces."
    )
    max_queue_rows: int = Field(
        65536, ge=1, description="Rows that may wait; beyond them a request is answered with 503."
    )
    body_limit_bytes: int = Field(
        64 * 2**20, ge=1, description="Largest request body, in bytes, after decompression."
    )
    timeout_ms: int = Field(
        10_000, ge=1, description="Deadline of a request that names none, in milliseconds."
    )
    proof_budget_s: float = Field(
        5.0, gt=0, description="Seconds a model for the proof of batch sizes at load."
    )
    drain_s: int = Field(
        8, ge=0, description="Seconds that requests in flight are given when the service stops."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of the JSON lines on stdout."
    )
    example: bool = Field(
        default=False, description="Print a curl line that works, once the service is ready."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment; no .env file is read behind anybody's back."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _Environment(settings_cls)


class _Environment(EnvSettingsSource):
    """The ``LOCKSTEP_`` variables, less those that Kubernetes sets for a service named lockstep."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The variable's value, its key, and whether it is JSON."""
        value, key, is_json = super().get_field_value(field, field_name)
        is_link = isinstance(value, str) and value.startswith(("tcp://", "udp://", "sctp://"))
        return None if is_link else value, key, is_json


def load_settings(**flags: Any) -> Settings:
    """Settings from flags, a platform, ``LOCKSTEP_`` variables or defaults: in this order.

    Args:
        flags: by field name; None leaves the field to the others.

    Raises:
        InvalidSetting: naming the variable or flag, and what it must be.
    """
    given = {
        name: (f"--{name.replace('_', '-')}", value)
        for name, value in flags.items()
        if value is not None
    }
    said = {**_platform(os.environ), **given}
    try:
        return Settings(**{name: value for name, (_, value) in said.items()})
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        source = said[field][0] if field in said else f"{PREFIX}{field.upper()}"
        given_value = error.errors()[0]["input"]
        raise InvalidSetting(
            f"{source} is wrong: {first_problem(error)}, however: {str(given_value)!r}."
        ) from error


def _platform(environment: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """What the platform that runs the container says: by field, who says it, and what."""
    found: dict[str, tuple[str, Any]] = {}
    for field, variables in (("port", PORT_VARIABLES), ("models", MODEL_VARIABLES)):
        for variable in variables:
            if field not in found and environment.get(variable):
                found[field] = (variable, environment[variable])
    if "models" not in found and not environment.get(f"{PREFIX}MODELS"):
        for folder in reversed(MOUNTED_MODELS):
            if _holds_something(folder):
                found["models"] = (str(folder), folder)
    return found


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:  # it is not there, or not for us
        return False
