"""The transport of a connection, with the head of an answer held back until its body comes.

Uvicorn writes the head and the body of an answer apart, and each write is a call of the system: a
fifth of the time of a small request. Here they leave together.
"""

from __future__ import annotations

import asyncio
from typing import Any

BEGIN_OF_HEAD = b"HTTP/1.1 "
END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100"


class JoinedWrites:
    """A transport that writes the head of an answer together with what follows it.

    Nothing else waits: an interim answer (100 Continue) leaves at once, and what is held leaves
    when the answer is complete or the connection is closed.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""

    def write(self, data: bytes) -> None:
        """Write bytes; a head is held until the next of them."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, data))
        elif data.endswith(END_OF_HEAD) and _is_final_head(data):
            self._held = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Write what is held, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's."""
        return getattr(self._transport, name)


def _is_final_head(data: bytes) -> bool:
    return data.startswith(BEGIN_OF_HEAD) and not data.startswith(CONTINUE)
