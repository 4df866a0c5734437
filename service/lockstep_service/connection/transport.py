"""The transport of a connection, which writes the head of an answer together with its body.

Uvicorn writes the head and the body of an answer separately. Each write is a system call, and takes
a fifth of the time of a small request.
"""

from __future__ import annotations

import asyncio
from typing import Any

BEGIN_OF_HEAD = b"HTTP/1.1 "
END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100"


class JoinedWrites:
    """A transport that writes the head of an answer together with the bytes that follow it.

    Only a final head is held. An interim answer (100 Continue) is written at once. A held head is
    written when the answer is complete or the connection is closed.

    Args:
        transport: the connection's own, which does the writing.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""

    def write(self, data: bytes) -> None:
        """Write bytes; the head of a final answer is held until the next write."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, data))
        elif data.endswith(END_OF_HEAD) and _is_final_head(data):
            self._held = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write the held head, if there is one."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Write the held head, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Delegate everything else to the transport."""
        return getattr(self._transport, name)


def _is_final_head(data: bytes) -> bool:
    return data.startswith(BEGIN_OF_HEAD) and not data.startswith(CONTINUE)
