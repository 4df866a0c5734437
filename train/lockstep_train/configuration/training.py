"""Settings of the fit."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from lockstep_train.configuration.section import Integer, Rate, Real, Section, Switch

ScheduleName = Literal["one_cycle", "cosine", "constant"]
DecayName = Literal["decoupled", "l2"]
ClassWeightName = Literal["none", "balanced"]
DeviceName = Literal["auto", "cpu", "cuda"]


def _threads(value: object) -> object:
    # A union would be refused with one sentence for each of its halves.
    number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024
    if number or value == "auto":
        return value
    raise PydanticCustomError("threads", "Input should be auto, or a whole number from 1 to 1024")


Threads = Annotated[
    int | Literal["auto"],
    PlainValidator(_threads, json_schema_input_type=int | Literal["auto"]),
]


def _default_decay(given: dict[str, Any]) -> float:
    # Adam divides the gradient by its own size: what is added to it acts far more strongly.
    return 1e-4 if given.get("decay") == "l2" else 1.0


class TrainingConfiguration(Section):
    """How the network is fitted."""

    section: ClassVar[str] = "training"

    epochs: Integer = Field(
        default=80, ge=1, le=100_000, description="Passes over the training split, at most."
    )
    batch_size: Integer = Field(default=32, ge=1, description="Rows of one step.")
    learning_rate: Real = Field(
        default=3e-3, gt=0, le=10, description="The schedule's highest learning rate."
    )
    decay: DecayName = Field(
        default="decoupled",
        description=(
            "decoupled: AdamW on the Linear layers' weights alone (Loshchilov and Hutter 2019); "
            "l2: added to the gradient of every parameter under Adam."
        ),
    )
    weight_decay: Real = Field(
        default_factory=_default_decay,
        ge=0,
        le=100,
        description=(
            "Strength of the pull of the weights to zero; one step takes the share learning rate "
            "times it, if decoupled. Default 1, for l2 0.0001."
        ),
    )
    schedule: ScheduleName = Field(
        default="one_cycle", description="How the learning rate goes from step to step."
    )
    label_smoothing: Rate = Field(
        default=0.0, description="Share of a label that is spread over all classes."
    )
    gradient_clip: Real = Field(
        default=1.0, ge=0, description="Largest norm of a step's gradient; 0: no bound."
    )
    patience: Integer = Field(
        default=25,
        ge=0,
        description="Epochs without a better validation loss after which training stops; 0: never.",
    )
    parting_tolerance: Real = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Share of a loss whose change counts when the parting epoch is sought.",
    )
    seed: Integer = Field(
        default=0, ge=0, le=2**32 - 1, description="Decides the split and every random draw."
    )
    threads: Threads = Field(
        default="auto",
        description=(
            "Threads that torch computes with; auto: all cores for steps that are large enough to "
            "gain by them, else one."
        ),
    )
    average: Rate = Field(
        default=0.0,
        description=(
            "Share of the running average of the weights that each step keeps (EMA); the averaged "
            "weights are measured and exported. 0: no average."
        ),
    )
    class_weight: ClassWeightName = Field(
        default="none",
        description="balanced: a class counts in the loss by the inverse of its share.",
    )
    calibrate: Switch = Field(
        default=True,
        description="Fit a temperature to the validation split and put it into the graph.",
    )
    device: DeviceName = Field(
        default="auto", description="Where the network is fitted; auto: CUDA where there is one."
    )
