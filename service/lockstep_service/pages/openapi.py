"""The OpenAPI document: every route, described by the pydantic models of its bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from lockstep_service.dialects.endpoint import Endpoint, EndpointDescription
from lockstep_service.forms.negotiation import Form

REFERENCE = "#/components/schemas/{model}"


class ProblemBody(BaseModel):
    """The body of an answer to an error."""

    error: str = Field(description="What was expected, what came, what to do.")
    code: str
    request_id: str


def describe(app: FastAPI, endpoints: Sequence[Endpoint[Any]]) -> dict[str, Any]:
    """The OpenAPI document of an application and its endpoints.

    Args:
        app: with its own routes, which FastAPI describes.
        endpoints: plain ASGI to FastAPI; each is described by its `Endpoint.description`.
    """
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    models: list[type[BaseModel]] = [ProblemBody]
    for endpoint in endpoints:
        models += [endpoint.description.request, endpoint.description.answer]
        schema["paths"][endpoint.path] = {"post": _described(endpoint.path, endpoint.description)}
    _, definitions = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template=REFERENCE
    )
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions["$defs"])
    for methods in schema["paths"].values():
        for operation in methods.values():
            _describe_problems(operation)
    return schema


def _described(path: str, description: EndpointDescription) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    rows = _json(description.request) | _as_bytes(description.forms, "of the rows")
    answers = _json(description.answer) | _as_bytes(description.forms, "of the answers")
    return {
        "tags": [description.dialect],
        "summary": f"{description.verb.capitalize()} rows",
        "operationId": "_".join([description.verb, *names]),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "requestBody": {"required": True, "content": rows},
        "responses": {"200": {"description": "The answers.", "content": answers}},
    }


def _describe_problems(operation: dict[str, Any]) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)  # FastAPI's own shape, which this service never sends
    problem = {"description": "What went wrong.", "content": _json(ProblemBody)}
    if "requestBody" in operation:
        for status in ("400", "413", "415", "504"):
            responses.setdefault(status, problem)
    for status in ("404", "503", "default"):
        responses.setdefault(status, problem)


def _as_bytes(forms: Mapping[bytes, Form], of_what: str) -> dict[str, Any]:
    """The OpenAPI content of binary forms, by content type."""
    return {
        kind.decode(): {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": form.about.format(of_what=of_what),
            }
        }
        for kind, form in forms.items()
    }


def _json(model: type[BaseModel]) -> dict[str, Any]:
    reference = REFERENCE.format(model=model.__name__)
    return {"application/json": {"schema": {"$ref": reference}}}
