"""One worker, from both sides: its parent's, and its own.

A pipe joins them. Its end is how either learns that the other is gone, however that came about: no
worker outlives its parent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from socket import socket
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from lockstep.errors import LockstepError
from lockstep_service.errors import CannotStart
from lockstep_service.process.ending import EXIT_CANNOT_START, Stopped, stop_on_signals
from lockstep_service.settings import Settings
from lockstep_service.view.telemetry import configure_logging, count_as, log

if TYPE_CHECKING:
    from lockstep_service.app import Application

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


def work(
    number: int, settings: Settings, listener: socket, folder: Path, parent: Connection
) -> None:
    """A worker's whole life: prove the models, wait for the word, serve; in a process of its own.

    Args:
        number: of the worker.
        settings: of the service.
        listener: bound by the parent.
        folder: where the workers count together.
        parent: takes the names of the models, or the sentence why there are none.
    """
    try:
        stop_on_signals()
        configure_logging(settings.log_level, worker=number)
        count_as(number)
        from lockstep_service.process.server import serve  # noqa: PLC0415 - the parent, too, imports this file

        app = _prove(settings, parent)
        parent.recv()
        Thread(target=_outlive_nobody, args=(parent,), daemon=True).start()
        serve(app, listener, settings, lambda: parent.send(True))
    except (Stopped, EOFError, BrokenPipeError):  # the parent's signal, or its end
        log.info("stopped")
        if parent.poll():  # at its end, and so nobody is left to remove it
            rmtree(folder, ignore_errors=True)


def _prove(settings: Settings, parent: Connection) -> Application:
    from lockstep_service.app import create_app  # noqa: PLC0415 - the parent needs no engine

    try:
        app = create_app(settings)
    except LockstepError as error:
        parent.send(str(error))
        sys.exit(EXIT_CANNOT_START)
    parent.send(list(app.state.repository.models))
    return app


def _outlive_nobody(parent: Connection) -> None:
    """Drain when the parent is gone, even if it could not say so."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


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
