"""Settings of the export."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lockstep.artifact.manifest import Precision
from lockstep_train.configuration.section import Section

PrecisionName = Precision | Literal["auto"]
"""A precision, or the exact one where the network has an exact form."""


class ExportConfiguration(Section):
    """In which form the fitted network is written."""

    section: ClassVar[str] = "export"

    precision: PrecisionName = Field(
        default="auto",
        description=(
            "exact: arithmetic in which no partial sum rounds, so that the bits are the same on "
            "every processor; or float32. auto: exact, unless the exact form strays too far from "
            "the network that was fitted; why is then said."
        ),
    )
