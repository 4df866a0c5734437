"""The application: the one place where all parts of the service are wired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from lockstep.errors import LockstepError
from lockstep.proof.certificate import library_versions
from lockstep_service.connection.shortcuts import Shortcuts, shortcuts_to
from lockstep_service.dialects.endpoint import Endpoint, RequestLimits
from lockstep_service.dialects.oip.infer import INFER_PATHS, Infer
from lockstep_service.dialects.oip.metadata import metadata_routes
from lockstep_service.dialects.plain import PREDICT_PATHS, Predict
from lockstep_service.errors import BadRequest
from lockstep_service.http.body_limit import BodyLimit
from lockstep_service.http.gate import Gate
from lockstep_service.http.headers import RequestIds
from lockstep_service.http.observed import Observed
from lockstep_service.http.problems import problem_body, report
from lockstep_service.pages.documentation import document
from lockstep_service.repository.load import load_repository
from lockstep_service.settings import Settings
from lockstep_service.view.telemetry import Telemetry

DESCRIPTION = (
    "A BatchNorm+Dropout network, locked in inference mode: the same bits for a row alone or in "
    "any batch, proved on this machine before the first answer."
)


class Application(FastAPI):
    """The FastAPI application, and the shortcuts that bypass it.

    Attributes:
        shortcuts: for the service's own connections.
    """

    shortcuts: Shortcuts


def create_app(settings: Settings) -> Application:
    """Prove the models, and wire the application that serves them.

    Args:
        settings: of the service.

    Raises:
        CannotStart: where no model can be served, the models folder cannot be read, or the default
            model does not exist.
    """
    telemetry = Telemetry()
    repository = load_repository(settings, telemetry)
    gate = Gate()
    ids = RequestIds()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        repository.close()

    app = Application(
        title="Lockstep",
        version=library_versions()["lockstep"],
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to any host that the request names
        lifespan=lifespan,
        middleware=[  # the outermost first: it answers all errors, else they would be plain text
            Middleware(Observed, telemetry, ids),
            Middleware(BodyLimit, settings.body_limit_bytes),
        ],
        exception_handlers={
            LockstepError: _answer_problem,
            HTTPException: _answer_problem,
            RequestValidationError: _answer_validation,
        },
    )
    limits = RequestLimits(settings.timeout_ms / 1e3, settings.body_limit_bytes)
    endpoints: tuple[Endpoint[Any], ...] = (
        *(Predict(path, repository, limits) for path in PREDICT_PATHS),
        *(Infer(path, repository, limits) for path in INFER_PATHS),
    )
    # The busiest routes come first, because a router tries its routes in order.
    app.router.routes[:0] = [
        Route(endpoint.path, endpoint, methods=["POST"]) for endpoint in endpoints
    ]
    app.shortcuts = Shortcuts(shortcuts_to(endpoints, repository), ids, telemetry)
    app.include_router(metadata_routes(repository, gate))

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(telemetry.exposition(), media_type="text/plain; version=0.0.4")

    document(app, endpoints)
    app.state.gate = gate
    app.state.repository = repository
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    problem = report(error, request.state.request_id)
    body = problem_body(problem, request.state.request_id.decode())
    response = Response(body, problem.status, media_type="application/json")
    response.raw_headers += problem.headers
    return response


async def _answer_validation(request: Request, error: Exception) -> Response:
    """Answer FastAPI's refusal of a path or query in the shape of all other problems."""
    del error
    return await _answer_problem(request, BadRequest("The path or query is wrong; see /docs."))
