"""The application: the one place where everything is wired."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstep.errors import LockstepError
from lockstep.proof.certificate import versions
from service.documentation import document
from service.errors import BadRequest
from service.middleware import BodyLimit, Gate, Observed, report
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
    """FastAPI, with the paths that run rows before its own dispatch.

    FastAPI's dispatch costs more than parsing, the network and uvicorn together. The exact paths
    of the models that are served are therefore looked up in a table first; every other request
    takes the common way. The middleware is around both. What only passes a request on is a plain
    function that returns the next one's awaitable: a coroutine more costs a microsecond.
    """

    hot: Mapping[str, ASGIApp]
    entry: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.entry(scope, receive, send)

    def dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Take the short way where there is one."""
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self.hot.get(scope["path"])
            if endpoint is not None:
                scope["endpoint"] = endpoint
                return endpoint(scope, receive, send)
        return super().__call__(scope, receive, send)


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
    limited = BodyLimit(app.dispatch, settings.body_limit_bytes)
    app.entry = Observed(limited, telemetry)
    app.hot = {
        **plain.Predict.hot_paths(plain.PATHS, repository, limits),
        **oip.Infer.hot_paths(oip.INFER_PATHS, repository, limits),
    }
    # First those that are asked most: a router tries its routes in order.
    app.router.routes[:0] = [
        *plain.Predict.routes(plain.PATHS, repository, limits),
        *oip.Infer.routes(oip.INFER_PATHS, repository, limits),
    ]
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
