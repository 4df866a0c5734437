"""The routes of the Open Inference Protocol for health and metadata."""

from __future__ import annotations

from fastapi import APIRouter, Response

from lockstep.proof.certificate import library_versions
from lockstep_service.dialects.oip.schema import (
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
)
from lockstep_service.errors import NotServing
from lockstep_service.http.gate import Gate
from lockstep_service.repository.repository import Repository
from lockstep_service.repository.served import Served

EXTENSIONS = ["binary_tensor_data"]
PLATFORMS = {"onnx": "onnx_onnxv1", "torchscript": "pytorch_torchscript"}


def metadata_routes(repository: Repository, gate: Gate) -> APIRouter:
    """The routes for health and for the metadata of the server and its models.

    Args:
        repository: of the models.
        gate: tells whether the service is stopping.
    """
    routes = APIRouter(tags=["Open Inference Protocol"])

    @routes.get("/v2")
    async def server_metadata() -> ServerMetadata:
        """Name, version and protocol extensions."""
        return ServerMetadata(
            name="lockstep", version=library_versions()["lockstep"], extensions=EXTENSIONS
        )

    @routes.get("/v2/health/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live(live=True)

    @routes.get("/v2/health/ready", responses={503: {"model": Ready}})
    async def ready(response: Response) -> Ready:
        """Whether every model has a served version, and the service is not stopping."""
        is_ready = repository.ready and not gate.stopping
        response.status_code = 200 if is_ready else 503
        return Ready(ready=is_ready)

    @routes.get("/v2/models/{name}")
    async def model_metadata(name: str) -> ModelMetadata:
        """The metadata of a model's highest served version."""
        return _metadata(repository, repository.find(name))

    @routes.get("/v2/models/{name}/versions/{version}")
    async def version_metadata(name: str, version: str) -> ModelMetadata:
        """The metadata of a version of a model."""
        return _metadata(repository, repository.find(name, version))

    @routes.get("/v2/models/{name}/ready", responses={503: {"model": ModelReady}})
    async def model_ready(name: str, response: Response) -> ModelReady:
        """Whether a model answers requests."""
        return _ready(repository, response, name, None)

    @routes.get(
        "/v2/models/{name}/versions/{version}/ready", responses={503: {"model": ModelReady}}
    )
    async def version_ready(name: str, version: str, response: Response) -> ModelReady:
        """Whether a version of a model answers requests."""
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
