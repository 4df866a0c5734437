"""A worker as its parent sees it: one process, and the pipe that joins them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from pathlib import Path
from socket import socket
from time import monotonic

from lockstep_service.errors import CannotStart
from lockstep_service.process.child import work
from lockstep_service.settings import Settings

# A new interpreter: a fork of a process with threads or an engine in it may hang.
SPAWN = get_context("spawn")


class Worker:
    """One process, as its parent sees it.

    Attributes:
        number: from 0; its successor bears it too.
    """

    def __init__(self, number: int, settings: Settings, listener: socket, folder: Path) -> None:
        self.number = number
        self._begin = monotonic()
        self._link, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=work, args=(number, settings, listener, folder, theirs), name=f"worker-{number}"
        )
        with _interrupts_blocked():
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    @property
    def age_s(self) -> float:
        """Seconds since it was started."""
        return monotonic() - self._begin

    async def proved(self) -> list[str]:
        """Wait until its models are proved.

        Returns:
            Their names.

        Raises:
            CannotStart: where nothing can be served, or the process ended before.
        """
        await _readable(self._link.fileno())
        try:
            said: list[str] | str = self._link.recv()
        except (EOFError, OSError) as error:
            code = await self.ended()
            raise CannotStart(
                f"Worker {self.number} ended with code {code} before it was ready; serve with "
                f"fewer workers where memory is short."
            ) from error
        if isinstance(said, str):
            raise CannotStart(said)
        return said

    async def accept(self) -> bool:
        """Tell it to accept connections.

        Returns:
            Whether it does; else it has ended.
        """
        try:
            self._link.send(True)
            await _readable(self._link.fileno())
            return bool(self._link.recv())
        except (EOFError, OSError):
            return False

    async def ended(self) -> int | None:
        """Wait for its end, whoever caused it.

        Returns:
            Its exit code; of a signal, the negative number.
        """
        await _readable(self._process.sentinel)
        self._process.join()
        self._link.close()
        return self._process.exitcode

    def terminate(self) -> None:
        """Ask it to drain and stop."""
        self._process.terminate()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, the end included."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """What is started meanwhile never sees SIGINT.

    A terminal sends it to every process at once; the parent alone is to decide.
    """
    # It unblocks the signal when it starts, and no public name starts it but `start`, too late.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
