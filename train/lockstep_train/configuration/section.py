"""A section of settings: frozen, closed, refused with sentences; and its kinds of values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self

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

from lockstep.errors import InvalidSetting
from lockstep.spelling import nearest_word

# Strict: in a settings file `true` is neither 1 nor 1.0.
Integer = Annotated[int, Strict()]
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]
Width = Annotated[Integer, Field(ge=1, le=65_536)]
Rate = Annotated[Real, Field(ge=0, lt=1)]

_ONE, _EACH = "one rate", "one rate a block"
_RATE_TAGS = (_ONE, _EACH)
Rates = Annotated[
    Annotated[Rate, Tag(_ONE)] | Annotated[tuple[Rate, ...], Tag(_EACH)],
    Discriminator(lambda value: _EACH if isinstance(value, list | tuple) else _ONE),
]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question after a word that is not known, or nothing where no known word is near."""
    near = nearest_word(word.lower(), known)
    return f" Did you mean {near}?" if near is not None else ""


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
