"""Settings of how a source is read and split."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from train.configuration.section import Section, Switch

MISSING_MARKERS = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")


class DataConfiguration(Section):
    """Which columns are what, and which rows go where."""

    section: ClassVar[str] = "data"

    target: str | None = Field(default=None, description="The column that is predicted.")
    drop: tuple[str, ...] = Field(default=(), description="Columns that are left out.")
    test: str | None = Field(
        default=None, description="A file with the test rows; the source is then not split for it."
    )
    split: str = Field(
        default="60/20/20",
        description=(
            "Shares of the training, validation and test rows, or the name of a column that holds "
            "the words train, validation and test."
        ),
    )
    group: str | None = Field(
        default=None, description="A column whose equal values must stay in one part."
    )
    time: str | None = Field(
        default=None, description="A column by whose order the rows are split: the last are tested."
    )
    weight: str | None = Field(
        default=None, description="A column that says how much a row counts in the loss."
    )
    header: Switch = Field(
        default=True, description="Whether the first line of a CSV file names its columns."
    )
    names: tuple[str, ...] = Field(
        default=(), description="Names of a CSV file's columns, where it has no header."
    )
    missing: tuple[str, ...] = Field(
        default=MISSING_MARKERS, description="Words that mean that a value is missing."
    )
