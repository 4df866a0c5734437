"""The exit codes of the command, by error."""

from __future__ import annotations

from lockstep.errors import (
    AlreadyExists,
    Disproved,
    EngineFailure,
    EngineUnavailable,
    InvalidInstances,
    InvalidSetting,
    LockstepError,
    Unreadable,
    Unservable,
)

PROVED = 0
DISPROVED = 1
UNREADABLE = 2
WRONG_USAGE = 64
INTERRUPTED = 130

TABLE: tuple[tuple[type[LockstepError], int], ...] = (
    (Unreadable, UNREADABLE),
    (InvalidInstances, UNREADABLE),  # rows of a table to be scored
    (Disproved, DISPROVED),
    (Unservable, DISPROVED),
    (EngineFailure, DISPROVED),
    (InvalidSetting, WRONG_USAGE),
    (AlreadyExists, WRONG_USAGE),
    (EngineUnavailable, WRONG_USAGE),
)


def exit_code(error: LockstepError) -> int:
    """The exit code of an error: the first match in `TABLE`."""
    return next(code for kind, code in TABLE if isinstance(error, kind))
