"""What a person may choose about the network and its training: every setting, default and bound."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Strict,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from lockstep.errors import InvalidSetting, NotFound, Unreadable

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "tanh", "elu"]
Schedule = Literal["one_cycle", "cosine", "constant"]
Decay = Literal["decoupled", "l2"]

# Strict: in a settings file `true` is neither 1 nor 1.0.
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]
Width = Annotated[Whole, Field(ge=1, le=65_536)]
Rate = Annotated[Real, Field(ge=0, lt=1)]

_ONE, _EACH = "one rate", "one rate a block"
_RATE_TAGS = (_ONE, _EACH)
Rates = Annotated[
    Annotated[Rate, Tag(_ONE)] | Annotated[tuple[Rate, ...], Tag(_EACH)],
    Discriminator(lambda value: _EACH if isinstance(value, list | tuple) else _ONE),
]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question after a word that is not known, or nothing where no known word is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _default_dropout(given: dict[str, Any]) -> float:
    # The only block stands right before the head: there a Dropout has to be asked for.
    return 0.2 if len(given.get("hidden", ())) > 1 else 0.0


def _default_decay(given: dict[str, Any]) -> float:
    # Adam divides the gradient by its own size: what is added to it acts far more strongly.
    return 1e-4 if given.get("decay") == "l2" else 1.0


class Section(BaseModel):
    """Base of the settings: frozen, closed, and refused with sentences instead of a dump.

    Raises:
        InvalidSetting: on making one, for an unknown name or a value out of its bounds; the message
            lists everything that is wrong with the section.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    section: ClassVar[str] = ""

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_with_sentences(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            problems = error.errors(include_url=False)
            raise InvalidSetting(" ".join(map(cls._sentence, problems))) from error

    @classmethod
    def _sentence(cls, problem: ErrorDetails) -> str:
        where = [part for part in problem["loc"] if part not in _RATE_TAGS]
        if not where:
            whole = cls.section or "The configuration"
            return f"{whole} must be a table of settings, got {problem['input']!r}."
        setting = ".".join(map(str, [cls.section, *where] if cls.section else where))
        if problem["type"] == "extra_forbidden":
            word, known = str(where[-1]), tuple(cls.model_fields)
            listed = ", ".join(known)
            return f"There is no setting {setting}.{did_you_mean(word, known)} There are: {listed}."
        expected = problem["msg"].removeprefix("Input should ")
        came = problem["input"]
        question = ""
        if problem["type"] == "literal_error":
            question = did_you_mean(str(came), problem["ctx"]["expected"].split("'")[1::2])
        return f"{setting} must {expected}, got {came!r}.{question}"


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
    activation: Activation = Field(default="relu", description="The blocks' nonlinearity.")
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


class TrainingConfiguration(Section):
    """How the network is fitted."""

    section: ClassVar[str] = "training"

    epochs: Whole = Field(
        default=80, ge=1, le=100_000, description="Passes over the training split, at most."
    )
    batch_size: Whole = Field(default=32, ge=1, description="Rows of one step.")
    learning_rate: Real = Field(
        default=3e-3, gt=0, le=10, description="The schedule's highest learning rate."
    )
    decay: Decay = Field(
        default="decoupled",
        description=(
            "decoupled: AdamW, biases and BatchNorm left alone (Loshchilov and Hutter 2019); "
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
    schedule: Schedule = Field(
        default="one_cycle", description="How the learning rate goes from step to step."
    )
    label_smoothing: Rate = Field(
        default=0.0, description="Share of a label that is spread over all classes."
    )
    gradient_clip: Real = Field(
        default=1.0, ge=0, description="Largest norm of a step's gradient; 0: no bound."
    )
    patience: Whole = Field(
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
    seed: Whole = Field(
        default=0, ge=0, le=2**32 - 1, description="Decides the split and every random draw."
    )
    threads: Whole = Field(
        default=1, ge=1, le=1024, description="Threads that torch computes with."
    )


class Configuration(Section):
    """Everything that decides, together with the data, which network comes out."""

    network: NetworkConfiguration = Field(default_factory=NetworkConfiguration)
    training: TrainingConfiguration = Field(default_factory=TrainingConfiguration)

    @model_validator(mode="after")
    def _batches_have_a_variance(self) -> Self:
        if self.network.batch_norm and self.training.batch_size == 1:
            raise InvalidSetting(
                "training.batch_size must be at least 2 with network.batch_norm: one row has no "
                "variance. Take a larger batch, or set network.batch_norm = false."
            )
        return self

    @classmethod
    def from_toml(
        cls, path: Path, changes: Mapping[str, Mapping[str, object]] | None = None
    ) -> Self:
        """Read the sections ``[network]`` and ``[training]`` of a TOML file.

        Args:
            path: the file; a setting that it leaves out has its default.
            changes: settings that win over the file's, by section and name.

        Raises:
            NotFound: there is no such file.
            Unreadable: the file is not TOML.
            InvalidSetting: an unknown setting, or a value out of its bounds.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotFound(f"There is no settings file {path}.") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Unreadable(f"{path} cannot be read as TOML: {error}.") from error
        for section, settings in (changes or {}).items():
            given = values.setdefault(section, {})
            if isinstance(given, dict):  # anything else is refused below, with a sentence
                given.update(settings)
        try:
            return cls.model_validate(values)
        except InvalidSetting as error:
            raise InvalidSetting(f"{path}: {error}") from error
