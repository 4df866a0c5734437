"""Settings of what happens to a column inside the graph, before the first block."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lockstep_train.configuration.section import Integer, Rate, Section

ScalingName = Literal["standard", "shared", "robust", "quantile"]
EmbeddingName = Literal["none", "piecewise_linear", "periodic"]
UnknownHandling = Literal["code", "refuse"]


class PreprocessingConfiguration(Section):
    """What the buffers and embeddings before the blocks make of the raw columns."""

    section: ClassVar[str] = "preprocessing"

    numeric: ScalingName = Field(
        default="standard",
        description=(
            "standard: mean 0, deviation 1; shared: the same with one deviation for all columns, "
            "as pixels want it; robust: median and quartiles, then a smooth clip to "
            "±3; quantile: the training split's ranks, as those of a normal distribution."
        ),
    )
    embedding: EmbeddingName = Field(
        default="none",
        description=(
            "What a numeric column is spread into (Gorishniy et al. 2022): its place in the bins "
            "between quantiles, or sines and cosines of learned frequencies."
        ),
    )
    bins: Integer = Field(
        default=32,
        ge=2,
        le=512,
        description="Bins of a piecewise-linear column, or frequencies of a periodic one, at most.",
    )
    column_width: Integer = Field(
        default=0,
        ge=0,
        le=1024,
        description=(
            "Values that a numeric column's embedding is combined to, by a linear layer and a ReLU "
            "of its own; 0: bins stay as they are."
        ),
    )
    one_hot_up_to: Integer = Field(
        default=9, ge=0, description="Categories up to which a column is one-hot; beyond: embedded."
    )
    embedding_width: Integer = Field(
        default=8,
        ge=1,
        le=1024,
        description="Values that an embedded category, or a periodic column, becomes.",
    )
    unknown: UnknownHandling = Field(
        default="code",
        description=(
            "A category that training never saw: it has a code of its own, or it is refused."
        ),
    )
    mask_rate: Rate = Field(
        default=0.02,
        description="Chance that a category is taken for an unknown one in training.",
    )
