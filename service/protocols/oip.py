"""The Open Inference Protocol, version 2, over REST."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstep.artifact.manifest import Manifest, Tensor, first_problem
from lockstep.engine.engine import Rows
from lockstep.proof.certificate import versions
from lockstep.proof.load import LoadProof
from service.answers import best_places
from service.errors import BadRequest, NotServing
from service.middleware import Gate, check_json, timeout_s
from service.protocols.endpoint import Find, always, by_path, run
from service.protocols.plain import jsonable, read_json
from service.repository import Repository, Served
from service.responses import read_body, send_json
from service.tensors import features_of_tensor

PLATFORMS = {"onnx": "onnx_onnxv1", "torchscript": "pytorch_torchscript"}
INFER_PATHS = (
    "/v2/models/{name}/infer",
    "/v2/models/{name}/versions/{version}/infer",
)


class Parameters(BaseModel):
    """Parameters of a request; those of other servers are passed over."""

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
    data: Any = Field(description="Row-major values, nested or flat.")


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
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
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
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Whether the process answers."""

    live: bool


class Ready(BaseModel):
    """Whether every model can be asked."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model can be asked, and why not."""

    name: str
    ready: bool
    reason: str | None = None


class ModelMetadata(BaseModel):
    """What a model is, and what was proved about it where it serves."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    task: str
    precision: str
    digest: str
    classes: list[Any] | None
    proof: LoadProof


class Infer:
    """``POST /v2/models/{name}/infer``, as a plain ASGI endpoint."""

    def __init__(self, path: str, find: Find, timeout_ms: int) -> None:
        self.path = path
        self._find = find
        self._timeout_s = timeout_ms / 1e3

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self._find(scope)
        check_json(scope)
        request = read_request(await read_body(receive))
        outputs = _wanted(request, served.manifest)
        features = _features(request.inputs[0], served.manifest)
        answers = await run(served.batcher, features, self._timeout(request, scope), receive)
        best_places(answers)  # refuses what is no number
        await send_json(send, _write(request, served, answers, outputs))

    def _timeout(self, request: InferRequest, scope: Scope) -> float:
        if request.parameters and request.parameters.timeout:
            return request.parameters.timeout / 1e6
        return timeout_s(scope, self._timeout_s)


def read_request(body: bytes) -> InferRequest:
    """A request for inference.

    Raises:
        BadRequest: where the body is none.
    """
    try:
        return InferRequest.model_validate(read_json(body))
    except ValidationError as error:
        raise BadRequest(
            f"The body is no request of the Open Inference Protocol: {first_problem(error)}."
        ) from error


def _features(tensor: InputTensor, manifest: Manifest) -> Any:
    wanted = manifest.inputs[0]
    if tensor.name != wanted.name:
        raise BadRequest(f"Expected the input {wanted.name!r}, got {tensor.name[:64]!r}.")
    if tensor.datatype != wanted.datatype:
        raise BadRequest(
            f"Expected {wanted.name} to be of datatype {wanted.datatype}, got "
            f"{tensor.datatype[:20]!r}."
        )
    return features_of_tensor(tensor.data, tensor.shape, manifest)


def _wanted(request: InferRequest, manifest: Manifest) -> list[int]:
    """Positions of the outputs that the request asks for; all where it names none."""
    names = [output.name for output in manifest.outputs]
    asked = [output.name for output in request.outputs] if request.outputs else names
    for name in asked:
        if name not in names:
            raise BadRequest(f"There is no output {name[:64]!r}; ask for {', '.join(names)}.")
    return [names.index(name) for name in asked]


def _write(request: InferRequest, served: Served, answers: Rows, outputs: list[int]) -> bytes:
    manifest = served.manifest
    answer: dict[str, Any] = {
        "model_name": manifest.name,
        "model_version": str(manifest.version),
    }
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = [
        {
            "name": manifest.outputs[i].name,
            "shape": list(answers[i].shape),
            "datatype": manifest.outputs[i].datatype,
            "data": jsonable(answers[i].reshape(-1)),
        }
        for i in outputs
    ]
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def infer_routes(repository: Repository, timeout_ms: int) -> list[BaseRoute]:
    """The routes that run rows."""
    find = by_path(repository)
    return [Route(path, Infer(path, find, timeout_ms), methods=["POST"]) for path in INFER_PATHS]


def hot_paths(repository: Repository, timeout_ms: int) -> dict[str, ASGIApp]:
    """The endpoint of every exact path of a model that is served."""
    return {
        path.format(name=name, version=version): Infer(path, always(served), timeout_ms)
        for name, version, served in repository.addresses()
        if name is not None
        for path in (INFER_PATHS[version is not None],)
    }


def router(repository: Repository, gate: Gate) -> APIRouter:
    """The routes that tell about the server and its models."""
    routes = APIRouter(tags=["Open Inference Protocol"])

    @routes.get("/v2")
    async def server_metadata() -> ServerMetadata:
        """Name, version and protocol extensions."""
        return ServerMetadata(name="lockstep", version=versions()["lockstep"], extensions=[])

    @routes.get("/v2/health/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live(live=True)

    @routes.get("/v2/health/ready", responses={503: {"model": Ready}})
    async def ready(response: Response) -> Ready:
        """Whether every model has a version that is served, and the service is not stopping."""
        is_ready = repository.ready and not gate.stopping
        response.status_code = 200 if is_ready else 503
        return Ready(ready=is_ready)

    @routes.get("/v2/models/{name}")
    async def model_metadata(name: str) -> ModelMetadata:
        """What the highest served version of a model is."""
        return _metadata(repository, repository.find(name))

    @routes.get("/v2/models/{name}/versions/{version}")
    async def version_metadata(name: str, version: str) -> ModelMetadata:
        """What a version of a model is."""
        return _metadata(repository, repository.find(name, version))

    @routes.get("/v2/models/{name}/ready", responses={503: {"model": ModelReady}})
    async def model_ready(name: str, response: Response) -> ModelReady:
        """Whether a model can be asked."""
        return _ready(repository, response, name, None)

    @routes.get(
        "/v2/models/{name}/versions/{version}/ready", responses={503: {"model": ModelReady}}
    )
    async def version_ready(name: str, version: str, response: Response) -> ModelReady:
        """Whether a version of a model can be asked."""
        return _ready(repository, response, name, version)

    return routes


def _metadata(repository: Repository, served: Served) -> ModelMetadata:
    manifest = served.manifest
    numbers = sorted(repository.models[manifest.name].served)
    return ModelMetadata(
        name=manifest.name,
        versions=[str(number) for number in numbers],
        platform=PLATFORMS[served.proof.engine],
        inputs=list(manifest.inputs),
        outputs=list(manifest.outputs),
        task=manifest.task,
        precision=manifest.precision,
        digest=served.artifact.digest,
        classes=list(manifest.classes) if manifest.classes is not None else None,
        proof=served.proof,
    )


def _ready(
    repository: Repository, response: Response, name: str, version: str | None
) -> ModelReady:
    try:
        repository.find(name, version)
    except NotServing as error:
        response.status_code = 503
        return ModelReady(name=name, ready=False, reason=str(error))
    return ModelReady(name=name, ready=True)
