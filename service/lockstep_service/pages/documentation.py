"""Documentation: /openapi.json of every route, /docs and / without an asset from another host."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from lockstep.artifact.manifest import Label
from lockstep.proof.load import LoadProof
from lockstep_service.dialects import plain
from lockstep_service.dialects.oip import infer as oip
from lockstep_service.dialects.oip import schema as oip_schema
from lockstep_service.forms import npy
from lockstep_service.forms.arrow import table as arrow
from lockstep_service.repository.repository import Repository

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Lockstep</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc }}
</style></head><body>
<h1>Lockstep</h1>
<p>Locked in inference mode, and proved so on this machine before the first answer.</p>
<table><tr><th>model</th><th>version</th><th>task</th><th>engine</th><th>golden rows' bits</th>
<th>same bits in any batch, tried in</th><th>digest</th></tr>{rows}</table>{refused}
<p><a href="docs">Documentation</a> · <a href="openapi.json">OpenAPI</a> ·
<a href="metrics">Metrics</a></p>
</body></html>
"""
VALUES = "raw values by column; null is missing"
REFERENCE = "#/components/schemas/{model}"


class PredictRequest(BaseModel):
    """Rows to answer."""

    model_config = ConfigDict(extra="forbid")

    instances: list[list[Any] | dict[str, Any]] = Field(
        min_length=1,
        description="Each a list of values in column order, or an object by column name.",
    )


class Prediction(BaseModel):
    """The answer to one row: label and probabilities, or the prediction of a regression."""

    model_config = ConfigDict(extra="allow")

    label: Label | None = None
    probabilities: list[float] | None = Field(None, description="In the order of the classes.")
    prediction: float | None = None


class PredictResponse(BaseModel):
    """The answers, in the order of the instances."""

    model: str
    version: int
    classes: list[Label] | None = None
    predictions: list[Prediction | Any]


class ProblemBody(BaseModel):
    """Every answer that is no success."""

    error: str = Field(description="What was expected, what came, what to do.")
    code: str
    request_id: str


def document(app: FastAPI) -> None:
    """Give the application its OpenAPI description and its page.

    The hot routes are plain ASGI endpoints, which FastAPI does not describe; they are described
    here, from pydantic models.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(_index(app.state.repository))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="Lockstep",
            swagger_js_url="assets/swagger-ui-bundle.js",
            swagger_css_url="assets/swagger-ui.css",
            swagger_favicon_url="assets/favicon-32x32.png",
        )

    for file, media_type in ASSETS.items():
        _serve_asset(app, file, media_type)


def _index(repository: Repository) -> str:
    """The page for people: what is served, and what was proved about it here."""
    rows = "".join(
        f"<tr><td>{escape(served.manifest.name)}</td><td>{served.manifest.version}</td>"
        f"<td>{served.manifest.task}</td>"
        f"<td>{served.proof.engine}, {served.manifest.precision}</td>"
        f"<td>{served.proof.golden}</td><td>{_invariance(served.proof)}</td>"
        f"<td><code>{served.artifact.digest[:12]}</code></td></tr>"
        for served in repository
    )
    refused = "".join(
        f"<li>{escape(name)}, version {version}: {escape(reason)}</li>"
        for name, model in repository.models.items()
        for version, reason in model.refused.items()
    )
    return PAGE.format(rows=rows, refused=f"<h2>Refused</h2><ul>{refused}</ul>" if refused else "")


def _invariance(proof: LoadProof) -> str:
    sizes = f"{proof.batch_invariance.tried} of {proof.batch_invariance.asked} batch sizes"
    return f"in a tile of {proof.tile} rows" if proof.tile else sizes


def _serve_asset(app: FastAPI, file: str, media_type: str) -> None:
    @app.get(f"/assets/{file}", include_in_schema=False)
    async def asset() -> Response:
        content = resources.files("fastapi_swagger.resources").joinpath(file).read_bytes()
        headers = {"cache-control": "max-age=86400"}
        return Response(content, media_type=media_type, headers=headers)


def _describe(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    models = (
        PredictRequest,
        PredictResponse,
        ProblemBody,
        oip_schema.InferRequest,
        oip_schema.InferResponse,
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions["$defs"])
    for path in plain.PATHS:
        operation = _operation("predict", path, PredictRequest, PredictResponse)
        operation["requestBody"]["content"].update(_forms("of the rows"))
        operation["responses"]["200"]["content"].update(_forms("of the answers"))
        schema["paths"][path] = {"post": operation}
    for path in oip.INFER_PATHS:
        operation = _operation("infer", path, oip_schema.InferRequest, oip_schema.InferResponse)
        schema["paths"][path] = {"post": operation}
    for methods in schema["paths"].values():
        for operation in methods.values():
            _describe_problems(operation)
    return schema


def _operation(
    verb: str, path: str, request: type[BaseModel], answer: type[BaseModel]
) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return {
        "tags": ["Plain dialect" if verb == "predict" else "Open Inference Protocol"],
        "summary": f"{verb.capitalize()} rows",
        "operationId": "_".join([verb, *names]),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "requestBody": {"required": True, "content": _json(request)},
        "responses": {"200": {"description": "The answers.", "content": _json(answer)}},
    }


def _describe_problems(operation: dict[str, Any]) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)  # FastAPI's own shape, which never leaves this service
    problem = {"description": "What went wrong.", "content": _json(ProblemBody)}
    if "requestBody" in operation:
        for status in ("400", "413", "415", "504"):
            responses.setdefault(status, problem)
    for status in ("404", "503", "default"):
        responses.setdefault(status, problem)


def _forms(of_what: str) -> dict[str, Any]:
    """The forms of the plain dialect that are bytes."""
    return {
        kind.decode(): {"schema": {"type": "string", "format": "binary", "description": text}}
        for kind, text in (
            (npy.TYPE, f"One .npy array {of_what}; a category is its code, NaN is missing."),
            (arrow.TYPE, f"An Arrow IPC stream {of_what}, to its end-of-stream marker: {VALUES}."),
        )
    }


def _json(model: type[BaseModel]) -> dict[str, Any]:
    reference = REFERENCE.format(model=model.__name__)
    return {"application/json": {"schema": {"$ref": reference}}}
