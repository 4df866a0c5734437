"""Everything that can go wrong in the core, as one tree.

::

    LockstepError
    ├── Unreadable            a file cannot be read as what it should be          exit 2
    │   └── NotFound          there is nothing at that path                       exit 2
    ├── Disproved             what was read or measured contradicts the claim     exit 1
    │   ├── DigestMismatch    a file is not the one that was sealed
    │   ├── TrainingMode      a file is, or may be, in training mode
    │   ├── RowMixing         a row's answer depends on its neighbours
    │   ├── Unrepeatable      the same input gave two answers
    │   └── ParityBroken      two engines disagree by more than the bound
    ├── Unservable            a model that the service has no way to carry        exit 1
    ├── InvalidInstances      rows that the network cannot answer                 HTTP 400
    ├── InvalidSetting        a value, given by a person, that makes no sense     exit 64
    ├── AlreadyExists         a version that is never overwritten                 exit 64
    ├── EngineUnavailable     an engine whose library is not installed            exit 64
    └── EngineFailure         the engine could not run the rows

A message is one sentence or two: what was expected, what came, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOWN_PROBLEMS = 3
# The search for problems stops here: a body full of mistakes must not cost more than a good one.
MOST_PROBLEMS = 100


class LockstepError(Exception):
    """Base of every error that Lockstep raises on purpose."""


class Unreadable(LockstepError):
    """A file cannot be read as what it should be."""


class NotFound(Unreadable):
    """There is nothing at the path that was given."""


class Disproved(LockstepError):
    """What was read or measured contradicts the claim that the artifact makes."""


class DigestMismatch(Disproved):
    """A file is not, byte for byte, the one that was sealed."""


class TrainingMode(Disproved):
    """A model file is in training mode, may enter it, or its mode cannot be decided."""


class RowMixing(Disproved):
    """The answer to a row depends on the batch that it is in."""


class Unrepeatable(Disproved):
    """The same input gave two different answers."""


class ParityBroken(Disproved):
    """Two forms of the same network disagree by more than the bound."""


class Unservable(LockstepError):
    """A model whose inputs or outputs the service has no way to carry."""


@dataclass(frozen=True)
class InvalidValue:
    """A problem of one instance.

    Attributes:
        instance: index of the row in the request, from 0.
        column: name of the column, or None if the whole row is wrong.
        message: what was expected and what came, as a clause.
    """

    instance: int
    column: str | None
    message: str

    def __str__(self) -> str:
        where = f"instance {self.instance}"
        return (
            f"{where}, column {self.column}: {self.message}"
            if self.column
            else f"{where}: {self.message}"
        )


class InvalidInstances(LockstepError):
    """Rows that the network cannot answer; the message lists the first few problems.

    Checks stop when they have found ``MOST_PROBLEMS`` of them.
    """

    def __init__(self, problems: list[InvalidValue]) -> None:
        self.problems = problems
        shown = "; ".join(map(str, problems[:SHOWN_PROBLEMS]))
        more = len(problems) - SHOWN_PROBLEMS
        least = "at least " if len(problems) >= MOST_PROBLEMS else ""
        super().__init__(f"{shown}; and {least}{more} more." if more > 0 else f"{shown}.")


class InvalidSetting(LockstepError):
    """A value given by a person that makes no sense."""


class AlreadyExists(LockstepError):
    """A version that exists is never overwritten."""


class EngineUnavailable(LockstepError):
    """The engine's library is not installed."""


class EngineFailure(LockstepError):
    """The engine could not run the rows."""


def printable(text: str) -> str:
    """Untrusted text in one line, safe for a terminal: other characters are shown as escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def first_line(error: BaseException) -> str:
    """The first line of a library's message, or the class of the error if there is no message."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
