"""The plain dialect's requests and answers, as pydantic models for `/openapi.json`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lockstep.artifact.manifest import Label


class PredictRequest(BaseModel):
    """Rows to answer."""

    model_config = ConfigDict(extra="forbid")

    instances: list[list[Any] | dict[str, Any]] = Field(
        min_length=1,
        description="Each a list of values in column order, or an object by column name.",
    )


class Prediction(BaseModel):
    """The answer to one row: label and probabilities, or the prediction of a regression."""

    model_config = ConfigDict(extra="allow")

    label: Label | None = None
    probabilities: list[float] | None = Field(None, description="In the order of the classes.")
    prediction: float | None = None


class PredictResponse(BaseModel):
    """The answers, in the order of the instances."""

    model: str
    version: int
    classes: list[Label] | None = None
    predictions: list[Prediction | Any]
