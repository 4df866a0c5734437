"""Settings of the export."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lockstep.artifact.manifest import Precision
from train.configuration.section import Section


class ExportConfiguration(Section):
    """In which form the fitted network is written."""

    section: ClassVar[str] = "export"

    precision: Precision = Field(
        default="float32",
        description=(
            "float32, or exact: arithmetic in which no partial sum rounds, so that the bits are "
            "the same on every processor."
        ),
    )
