"""The parent's side of a worker: its process, and the pipe to it."""

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

# A new interpreter. A fork of a process with threads or an engine may hang.
SPAWN = get_context("spawn")


class Worker:
    """A worker process, which is started when the object is made.

    Args:
        number: of the worker.
        settings: of the service.
        listener: bound by the parent.
        folder: of the shared metrics.

    Attributes:
        number: from 0; a restarted worker has the same number.
    """

    def __init__(self, number: int, settings: Settings, listener: socket, folder: Path) -> None:
        self.number = number
        self._begin = monotonic()
        self._link, child_link = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=work,
            args=(number, settings, listener, folder, child_link),
            name=f"worker-{number}",
        )
        with _interrupts_blocked():
            self._process.start()
        child_link.close()

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
        """Wait until the worker has proved its models.

        Returns:
            The names of the models.

        Raises:
            CannotStart: where no model can be served, or the process ended before it was ready.
        """
        await _readable(self._link.fileno())
        try:
            message: list[str] | str = self._link.recv()
        except (EOFError, OSError) as error:
            code = await self.ended()
            raise CannotStart(
                f"Worker {self.number} ended with code {code} before it was ready; serve with "
                f"fewer workers where memory is short."
            ) from error
        if isinstance(message, str):
            raise CannotStart(message)
        return message

    async def accept(self) -> bool:
        """Tell the worker to accept connections, and wait until it does.

        Returns:
            True when it accepts; False if it has ended.
        """
        try:
            self._link.send(True)
            await _readable(self._link.fileno())
            return bool(self._link.recv())
        except (EOFError, OSError):
            return False

    async def ended(self) -> int | None:
        """Wait until the process has ended.

        Returns:
            Its exit code; the negative number of the signal that ended it.
        """
        await _readable(self._process.sentinel)
        self._process.join()
        self._link.close()
        return self._process.exitcode

    def terminate(self) -> None:
        """Ask the worker to drain and stop (SIGTERM)."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        self._process.kill()


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor can be read, or its other end was closed."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in the processes that are started in this context.

    A terminal sends SIGINT to all processes at once, but only the parent decides when to stop.
    """
    # The resource tracker unblocks SIGINT when it starts, so it must run before the signal is
    # blocked. `Process.start` would start it too late.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
