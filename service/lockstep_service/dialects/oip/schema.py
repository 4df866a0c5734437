"""The requests and answers of the Open Inference Protocol, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from lockstep.artifact.manifest import TensorSpec
from lockstep.proof.load import LoadProof


class Parameters(BaseModel):
    """Parameters of a request; those of other servers are ignored."""

    model_config = ConfigDict(extra="allow")

    timeout: Annotated[StrictInt, Field(gt=0, description="Deadline, in microseconds.")] | None = (
        None
    )


class InputTensor(BaseModel):
    """One input of a request."""

    model_config = ConfigDict(extra="forbid")

    name: str
    shape: list[Annotated[StrictInt, Field(ge=0)]]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Any = Field(None, description="Row-major values, nested or flat; none if binary.")


class RequestedOutput(BaseModel):
    """One output that the request asks for."""

    model_config = ConfigDict(extra="forbid")

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(BaseModel):
    """A request for inference."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[InputTensor] = Field(
        min_length=1,
        description="The one tensor of features; or one for each column, named as it is.",
    )
    outputs: list[RequestedOutput] | None = None


class OutputTensor(BaseModel):
    """One output of an answer."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferResponse(BaseModel):
    """The answer to a request for inference."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ServerMetadata(BaseModel):
    """The metadata of the server."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Whether the process answers."""

    live: bool


class Ready(BaseModel):
    """Whether every model answers requests, and the service is not stopping."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model answers requests, and the reason if it does not."""

    name: str
    ready: bool
    reason: str | None = None


class ModelMetadata(BaseModel):
    """The metadata of a model, and what was proved about it on the serving machine."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    task: str
    precision: str
    digest: str
    classes: list[Any] | None
    proof: LoadProof
