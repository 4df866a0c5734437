"""Flags for the data and the training, shared by all commands that train on a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class DataFlags:
    """Flags for a configuration's ``[data]``; None means that the flag was not given."""

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
        """The settings of ``[data]``, without ``kind``, which belongs to another section."""
        given = asdict(self)
        del given["kind"]
        given["names"] = self.names.split(",") if self.names else None
        return given


@dataclass(frozen=True)
class TrainingFlags:
    """Flags for a configuration's ``[training]``; None means that the flag was not given."""

    class_weight: Annotated[
        str | None, typer.Option("--class-weight", help="balanced: rare classes count more.")
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Decides every random draw.")] = None
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most.")] = None

    def settings(self) -> dict[str, object]:
        """The settings of ``[training]``."""
        return asdict(self)
