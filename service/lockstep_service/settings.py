"""The service's settings. No other module reads the environment."""

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
    """The settings; each is also read from the variable ``LOCKSTEP_`` plus its name in capitals."""

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
        """Flags come before the environment; no .env file and no secret file is read."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _Environment(settings_cls)


class _Environment(EnvSettingsSource):
    """The ``LOCKSTEP_`` variables, without the links of Kubernetes.

    For a service named lockstep, Kubernetes sets variables such as
    ``LOCKSTEP_PORT=tcp://10.0.0.1:8080``.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The variable's value (None if it is a link), its key, and whether it is JSON."""
        value, key, is_json = super().get_field_value(field, field_name)
        is_link = isinstance(value, str) and value.startswith(("tcp://", "udp://", "sctp://"))
        return None if is_link else value, key, is_json


def load_settings(**flags: Any) -> Settings:
    """Settings from flags, the platform, ``LOCKSTEP_`` variables and defaults, in this order.

    Args:
        flags: by field name; None means that the flag was not given.

    Raises:
        InvalidSetting: naming the variable or flag, the expected value, and the value that came.
    """
    given = {
        name: (f"--{name.replace('_', '-')}", value)
        for name, value in flags.items()
        if value is not None
    }
    sources = {**_platform(os.environ), **given}
    try:
        return Settings(**{name: value for name, (_, value) in sources.items()})
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        source = sources[field][0] if field in sources else f"{PREFIX}{field.upper()}"
        given_value = error.errors()[0]["input"]
        raise InvalidSetting(
            f"{source} is wrong: {first_problem(error)}, however: {str(given_value)!r}."
        ) from error


def _platform(environment: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """Settings of the platform that runs the container.

    Returns:
        By field, the name of the variable or folder, and the value.
    """
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
    except OSError:  # absent, or not readable
        return False
