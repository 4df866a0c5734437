"""`lockstep import`: makes an artifact of an ONNX file from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli.exit_codes import PROVED
from lockstep.cli.options import AsJson, Models, Version
from lockstep.cli.output import errors_as_json, print_json


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="An ONNX file from anywhere.")],
    name: Annotated[str, typer.Option("--name", help="The model's name.")],
    models: Models = Path("models"),
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B,C", help="Names of the columns, by commas."),
    ] = None,
    version: Version = None,
    as_json: AsJson = False,
) -> int:
    """Bring in an ONNX file: audited, certified and given a manifest."""
    from rich.console import Console

    from lockstep.artifact.folder import check_writable
    from lockstep.imported import import_onnx

    names = [word.strip() for word in columns.split(",")] if columns is not None else None
    with errors_as_json(as_json):
        check_writable(models, name)
        artifact, certificate = import_onnx(file, models, name, version=version, column_names=names)
    if as_json:
        print_json(
            {
                "path": str(artifact.path),
                "digest": artifact.digest,
                "manifest": artifact.manifest.model_dump(mode="json"),
                "certificate": certificate.model_dump(mode="json"),
            }
        )
    else:
        from lockstep.display import show_sealed

        show_sealed(Console(highlight=False), artifact, certificate)
    return PROVED
