"""The application: the one place where everything is wired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstep.errors import LockstepError
from lockstep.proof.certificate import versions
from service.documentation import document
from service.errors import BadRequest
from service.exchange import Shortcuts, shortcuts_to
from service.middleware import BodyLimit, Gate, Observed, RequestIds, report
from service.problems import problem_body
from service.protocols import oip, plain
from service.protocols.endpoint import Limits
from service.repository import load_repository
from service.settings import Settings
from service.telemetry import Telemetry

DESCRIPTION = (
    "A BatchNorm+Dropout network, locked in inference mode: the same bits for a row alone or in "
    "any batch, proved on this machine before the first answer."
)


class Application(FastAPI):
    """FastAPI with the middleware around all of it, and the shortcuts past both."""

    entry: ASGIApp
    shortcuts: Shortcuts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.entry(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's, without the outermost layer: it answers in plain text what nobody caught.

        That is `Observed`'s to answer.
        """
        stack = super().build_middleware_stack()
        assert isinstance(stack, ServerErrorMiddleware)  # noqa: S101 - else another layer is lost
        return stack.app


def create_app(settings: Settings) -> Application:
    """Prove the models, and wire the application that serves them.

    Raises:
        CannotStart: where nothing can be served.
    """
    telemetry = Telemetry()
    repository = load_repository(settings, telemetry)
    gate = Gate()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        repository.close()

    app = Application(
        title="Lockstep",
        version=versions()["lockstep"],
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to a host that the request names, which may be anybody's
        lifespan=lifespan,
        exception_handlers={
            LockstepError: _answer_problem,
            HTTPException: _answer_problem,
            RequestValidationError: _answer_validation,
        },
    )
    limits = Limits(settings.timeout_ms / 1e3, settings.body_limit_bytes)
    ids = RequestIds()
    app.entry = Observed(
        BodyLimit(super(Application, app).__call__, settings.body_limit_bytes), telemetry, ids
    )
    endpoints = (
        *(plain.Predict(path, repository, limits) for path in plain.PATHS),
        *(oip.Infer(path, repository, limits) for path in oip.INFER_PATHS),
    )
    # First those that are asked most: a router tries its routes in order.
    app.router.routes[:0] = [
        Route(endpoint.path, endpoint, methods=["POST"]) for endpoint in endpoints
    ]
    app.shortcuts = Shortcuts(shortcuts_to(endpoints, repository), ids, telemetry)
    app.include_router(oip.router(repository, gate))

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(telemetry.exposition(), media_type="text/plain; version=0.0.4")

    document(app)
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
    """FastAPI's own refusal of a path or query, in the shape of every other."""
    del error
    return await _answer_problem(request, BadRequest("The path or query is wrong; see /docs."))
