"""Settings of how a source is read and split."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.section import Section, Switch

MISSING_MARKERS = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")

TaskSetting = Literal["auto", "classification", "regression"]


class DataConfiguration(Section):
    """Which columns are what, and which rows go where."""

    section: ClassVar[str] = "data"

    target: str | None = Field(default=None, description="The column that is predicted.")
    task: TaskSetting = Field(
        default="auto",
        description=(
            "auto: words, booleans and a few different whole numbers are classes; other numbers "
            "are predicted as numbers."
        ),
    )
    drop: tuple[str, ...] = Field(default=(), description="Columns that are left out.")
    test: str | None = Field(
        default=None, description="A file with the test rows; the source is then not split for it."
    )
    split: str = Field(
        default="auto",
        description=(
            "Shares of the training, validation and test rows, such as 60/20/20, or the name of a "
            "column that holds the words train, validation and test. auto: 60/20/20, but about "
            "6,000 rows at most for validation. With a test file the share of the test goes to the "
            "training, and two shares are enough."
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

    @model_validator(mode="after")
    def _rows_are_split_in_one_way(self) -> Self:
        if self.group and self.time:
            raise InvalidSetting(
                f"data.group ({self.group}) and data.time ({self.time}) both say how rows are "
                "split: give one of the two."
            )
        return self
