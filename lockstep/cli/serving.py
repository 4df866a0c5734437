"""`lockstep serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli.options import EngineChoice


def serve(
    models: Annotated[
        Path | None, typer.Option("--models", metavar="DIR", help="The models folder.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    engine: Annotated[EngineChoice | None, typer.Option(help="What runs the rows.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes behind the port.")
    ] = None,
    example: Annotated[
        bool | None, typer.Option("--example/--no-example", help="Print a curl line once ready.")
    ] = None,
) -> int:
    """Serve the models; a flag wins over the environment."""
    from lockstep_service.settings import load_settings

    word = engine.value if engine is not None else None
    settings = load_settings(
        models=models, host=host, port=port, engine=word, workers=workers, example=example
    )
    if settings.workers > 1:  # the parent of workers holds no model and imports no engine
        from lockstep_service.process.parent import run
    else:
        from lockstep_service.process.server import run
    return run(settings)
