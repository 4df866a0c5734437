"""The flags that say what a table means: the same for every command that learns from one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class DataFlags:
    """Settings of a configuration's ``[data]``; None where the flag was not given."""

    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="The column that is predicted.")
    ] = None
    task: Annotated[
        str | None, typer.Option("--task", help="classification or regression, if not as inferred.")
    ] = None
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="COLUMN", help="A column to leave out.")
    ] = None
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="COLUMN=KIND", help="numeric, categorical or boolean."),
    ] = None
    test: Annotated[
        str | None, typer.Option("--test", metavar="FILE", help="The test rows, in their own file.")
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="SHARES", help="As 60/20/20, or a column of train, validation, test."
        ),
    ] = None
    group: Annotated[
        str | None, typer.Option("--group", metavar="COLUMN", help="Equal values stay together.")
    ] = None
    time: Annotated[
        str | None, typer.Option("--time", metavar="COLUMN", help="The last rows by it are tested.")
    ] = None
    weight: Annotated[
        str | None, typer.Option("--weight", metavar="COLUMN", help="How much a row counts.")
    ] = None
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether a CSV file names its columns."),
    ] = None
    names: Annotated[
        str | None,
        typer.Option("--names", metavar="A,B,...", help="Names of a CSV file's columns."),
    ] = None
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", metavar="WORD", help="A word for a missing value."),
    ] = None

    def settings(self) -> dict[str, object]:
        """The settings of ``[data]``; the kinds of columns have a section of their own."""
        given = asdict(self)
        del given["kind"]
        given["names"] = self.names.split(",") if self.names else None
        return given


@dataclass(frozen=True)
class TrainingFlags:
    """Settings of a configuration's ``[training]``; None where the flag was not given."""

    class_weight: Annotated[
        str | None, typer.Option("--class-weight", help="balanced: rare classes count more.")
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Decides every random draw.")] = None
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most.")] = None

    def settings(self) -> dict[str, object]:
        """The settings of ``[training]``."""
        return asdict(self)
