"""Documentation: /openapi.json, /docs and /, without assets from other hosts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from lockstep_service.dialects.endpoint import Endpoint
from lockstep_service.pages.index import index_page
from lockstep_service.pages.openapi import describe

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


def document(app: FastAPI, endpoints: Sequence[Endpoint[Any]]) -> None:
    """Add the OpenAPI document and the pages to an application.

    Args:
        app: with all its other routes.
        endpoints: of all dialects. FastAPI does not describe them.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app, endpoints)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(index_page(app.state.repository))

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


def _serve_asset(app: FastAPI, file: str, media_type: str) -> None:
    @app.get(f"/assets/{file}", include_in_schema=False)
    async def asset() -> Response:
        content = resources.files("fastapi_swagger.resources").joinpath(file).read_bytes()
        headers = {"cache-control": "max-age=86400"}
        return Response(content, media_type=media_type, headers=headers)
