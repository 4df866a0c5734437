"""Settings of the network's shape, and of the regularisers that are part of it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.section import Integer, Rate, Rates, Real, Section, Switch, Width

ActivationName = Literal["relu", "leaky_relu", "gelu", "silu", "tanh", "elu"]


def _default_dropout(given: dict[str, Any]) -> float:
    # The only block stands right before the head: there a Dropout has to be asked for.
    return 0.2 if len(given.get("hidden", ())) > 1 else 0.0


class NetworkConfiguration(Section):
    """The shape of the network and the regularisers that are part of it."""

    section: ClassVar[str] = "network"

    hidden: tuple[Width, ...] = Field(
        default=(128, 64), min_length=1, description="Units of each block, from the input on."
    )
    dropout: Rates = Field(
        default_factory=_default_dropout,
        description=(
            "Chance that a unit is zeroed in training: one rate for every block but the last, or a "
            "list with one rate a block. Default 0.2; for a single block 0, since a Dropout right "
            "before the head has to be asked for."
        ),
    )
    output_dropout: Rate = Field(
        default=0.0,
        description="Rate of the last block's Dropout, which stands right before the head.",
    )
    input_dropout: Rate = Field(
        default=0.1, description="Chance that a standardised feature is zeroed in training."
    )
    activation: ActivationName = Field(default="relu", description="The blocks' nonlinearity.")
    embedding_dropout: Rate = Field(
        default=0.0,
        description="Chance that a value of a category's embedding is zeroed in training.",
    )
    max_norm: Real = Field(
        default=0.0,
        ge=0,
        description="Largest norm of a unit's weights (Srivastava et al. 2014); 0: no bound.",
    )
    members: Integer = Field(
        default=1,
        ge=1,
        le=64,
        description="Networks that are trained together and whose answers are averaged.",
    )
    batch_norm: Switch = Field(default=True, description="BatchNorm in every block, or in none.")
    batch_norm_momentum: Real = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Newest batch's weight in the running statistics (ONNX and Keras: 1 − it).",
    )
    batch_norm_eps: Real = Field(
        default=1e-5, gt=0, le=1, description="Added to the variance before its root is taken."
    )

    @model_validator(mode="after")
    def _one_rate_for_each_block(self) -> Self:
        if isinstance(self.dropout, tuple) and len(self.dropout) != len(self.hidden):
            raise InvalidSetting(
                f"network.dropout must be one rate, or one for each of the {len(self.hidden)} "
                f"blocks, got {len(self.dropout)} rates."
            )
        if self.output_dropout and self._dropout_reaches_the_head:
            raise InvalidSetting(
                "network.dropout and network.output_dropout both set the rate of the last block: "
                "give one of the two."
            )
        return self

    @property
    def _dropout_reaches_the_head(self) -> bool:
        return isinstance(self.dropout, tuple) or (len(self.hidden) == 1 and self.dropout > 0)

    @property
    def block_dropout(self) -> tuple[float, ...]:
        """The rate of each block's Dropout, from the input on; 0 where a block has none."""
        if isinstance(self.dropout, tuple):
            return self.dropout
        if self._dropout_reaches_the_head:
            return (self.dropout,)
        return (*[self.dropout] * (len(self.hidden) - 1), self.output_dropout)
