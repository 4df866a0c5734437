"""How a process of the service ends: on a signal, or with an exit code if it cannot start."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from lockstep.errors import LockstepError

EXIT_CANNOT_START = 3


class Stopped(BaseException):
    """A signal asked the process to stop. Not an Exception, so that no error handler catches it."""


def stop_on_signals() -> None:
    """Raise `Stopped` in the main thread on the first SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def end_undisturbed() -> None:
    """Come to an end that is under way: a signal that comes meanwhile has nothing to add."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    end_undisturbed()
    raise Stopped


def cannot_start(error: LockstepError) -> int:
    """Write to stderr in one sentence why the service cannot start.

    Returns:
        The exit code, 3.
    """
    sys.stderr.write(f"lockstep: {error}\n")
    return EXIT_CANNOT_START
