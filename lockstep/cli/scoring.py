"""`lockstep predict`: scores a table offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli.exit_codes import PROVED
from lockstep.cli.options import ArtifactFolder, EngineChoice
from lockstep.cli.output import note


def predict(
    folder: ArtifactFolder,
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE", help="A CSV, Parquet, Arrow or .npy file; - is CSV on stdin."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A CSV file; - is stdout.")
    ] = Path("-"),
    engine: Annotated[EngineChoice, typer.Option(help="What runs the rows.")] = EngineChoice.onnx,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether a CSV names its columns.")
    ] = True,
) -> int:
    """Answer every row of TABLE with the same bits as the service."""
    from lockstep.engine.engine import check_engine_name
    from lockstep.scoring.score import score

    score(folder, table, output, engine=check_engine_name(engine.value), header=header, note=note)
    return PROVED
