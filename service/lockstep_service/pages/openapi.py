"""What /openapi.json says: every route, from the pydantic models of its bodies."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from lockstep.artifact.manifest import Label
from lockstep_service.dialects.oip.infer import INFER_PATHS
from lockstep_service.dialects.oip.schema import InferRequest, InferResponse
from lockstep_service.dialects.plain import PREDICT_PATHS
from lockstep_service.forms.arrow.table import ARROW_TYPE
from lockstep_service.forms.npy import NPY_TYPE

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


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an application, hot routes included: FastAPI sees them as plain ASGI."""
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    models = (
        PredictRequest,
        PredictResponse,
        ProblemBody,
        InferRequest,
        InferResponse,
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions["$defs"])
    for path in PREDICT_PATHS:
        operation = _operation("predict", path, PredictRequest, PredictResponse)
        operation["requestBody"]["content"].update(_forms("of the rows"))
        operation["responses"]["200"]["content"].update(_forms("of the answers"))
        schema["paths"][path] = {"post": operation}
    for path in INFER_PATHS:
        operation = _operation("infer", path, InferRequest, InferResponse)
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
            (NPY_TYPE, f"One .npy array {of_what}; a category is its code, NaN is missing."),
            (ARROW_TYPE, f"An Arrow IPC stream {of_what}, to its end-of-stream marker: {VALUES}."),
        )
    }


def _json(model: type[BaseModel]) -> dict[str, Any]:
    reference = REFERENCE.format(model=model.__name__)
    return {"application/json": {"schema": {"$ref": reference}}}
