"""The socket on which the service listens."""

from __future__ import annotations

import socket

from lockstep_service.errors import CannotStart

BACKLOG = 2048


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
