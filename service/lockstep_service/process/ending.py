"""What each process of the service is: it has a port, stops on a signal, and ends with a code."""

from __future__ import annotations

import signal
import socket
import sys
from types import FrameType

from lockstep.errors import LockstepError
from lockstep_service.errors import CannotStart

EXIT_CANNOT_START = 3
BACKLOG = 2048


class Stopped(BaseException):
    """A signal asked the process to stop; no handler of errors may take it for one."""


def stop_on_signals() -> None:
    """Raise `Stopped` in the main thread on SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Stopped


def bind(host: str, port: int) -> socket.socket:
    """A socket that has the address and does not listen yet: who connects is refused.

    Raises:
        CannotStart: where the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port whose last connections have only just been closed is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def listen(listener: socket.socket) -> None:
    """Let clients connect.

    Raises:
        CannotStart: where another process has begun to listen there since it was bound.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: OSError) -> CannotStart:
    return CannotStart(
        f"Cannot listen on {host}:{port}: {error.strerror}; choose another with --port."
    )


def cannot_start(error: LockstepError) -> int:
    """Say in one sentence on stderr why the service cannot start.

    Returns:
        The exit code that goes with it.
    """
    sys.stderr.write(f"lockstep: {error}\n")
    return EXIT_CANNOT_START
