"""Arguments and options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineChoice(StrEnum):
    """The engine that runs the rows."""

    onnx = "onnx"
    torchscript = "torchscript"


Models = Annotated[Path, typer.Option("--models", metavar="DIR", help="The models folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Version = Annotated[
    int | None, typer.Option("--version", help="The version's number; by default the next one.")
]
ArtifactFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="An artifact: models/NAME/VERSION.")
]
