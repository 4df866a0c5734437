"""The socket on which the service listens."""

from __future__ import annotations

import socket

from lockstep_service.errors import CannotStart

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen yet, so that connections are refused.

    Args:
        host: an IPv4 or IPv6 address, or a name.
        port: 0 takes a free one.

    Raises:
        CannotStart: where the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without this option a port stays unusable for a while after its connections were closed.
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
        CannotStart: where another process has begun to listen on the address since `bind`.
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
