"""Workers: several processes behind one port, started together, restarted, and stopped together.

The parent binds the port and answers nothing; it holds no model and imports no engine. Every worker
proves the models for itself and then waits for the parent's word: the port opens when all of them
are proved, and so the first connections are spread over all. All accept from the one socket, which
the parent keeps: what has connected to a worker that dies before it was accepted is another's.

A pipe joins each worker to the parent. Its end is how either learns that the other is gone, however
that came about: no worker outlives its parent.
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
from socket import socket
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from lockstep.errors import LockstepError
from service.errors import CannotStart
from service.process import EXIT_CANNOT_START, Stopped, bind, cannot_start, listen, stop_on_signals
from service.settings import Settings
from service.telemetry import configure_logging, count_as, forget, log, shared_metrics

if TYPE_CHECKING:
    from fastapi import FastAPI

# A new interpreter: a fork of a process with threads or an engine in it may hang.
SPAWN = get_context("spawn")
# A worker that lived longer was well; one that did not is restarted after a pause that doubles.
WELL_S = 30.0
LONGEST_PAUSE_S = 30.0
# What a worker may take to stop beyond the drain; in all less than a platform's usual 10 s.
STOP_MARGIN_S = 1.5


def run(settings: Settings) -> int:
    """Serve with several processes until a signal stops them.

    Returns:
        The exit code: 0 after a stop, 3 where the service cannot start.
    """
    configure_logging(settings.log_level)
    stop_on_signals()
    try:
        with bind(settings.host, settings.port) as listener, shared_metrics() as folder:
            asyncio.run(Workers(settings, listener, folder).serve())
    except Stopped:  # before there was a worker
        pass
    except LockstepError as error:
        return cannot_start(error)
    log.info("stopped")
    return 0


class Worker:
    """One process, as its parent sees it.

    Attributes:
        number: from 0; its successor bears it too.
    """

    def __init__(self, number: int, settings: Settings, listener: socket) -> None:
        self.number = number
        self._begin = monotonic()
        self._link, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=work, args=(number, settings, listener, theirs), name=f"worker-{number}"
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

    def accept(self) -> None:
        """Tell it to accept connections."""
        try:
            self._link.send(True)
        except OSError:
            log.debug("worker left before it was told", worker=self.number)  # see `ended`

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


class Workers:
    """All processes of one service."""

    def __init__(self, settings: Settings, listener: socket, folder: Path) -> None:
        self._settings = settings
        self._listener = listener
        self._folder = folder
        self._workers: dict[int, Worker] = {}

    async def serve(self) -> None:
        """Start the workers and keep them, until a signal; then drain them.

        Raises:
            CannotStart: where nothing can be served.
        """
        signalled = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled.set)
        tasks = [asyncio.create_task(self._keep_all()), asyncio.create_task(signalled.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what ended the service
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop()

    async def _keep_all(self) -> None:
        for number in range(self._settings.workers):
            self._start(number, self._settings)
        proved = [await worker.proved() for worker in self._workers.values()]
        listen(self._listener)
        for worker in self._workers.values():
            worker.accept()
        host, port = self._listener.getsockname()[:2]
        processes = [worker.pid for worker in self._workers.values()]
        log.info("ready", host=host, port=port, models=proved[0], processes=processes)
        async with asyncio.TaskGroup() as group:
            for worker in list(self._workers.values()):
                group.create_task(self._keep(worker))

    def _start(self, number: int, settings: Settings) -> Worker:
        example = settings.example and number == 0
        worker = Worker(number, settings.model_copy(update={"example": example}), self._listener)
        self._workers[number] = worker
        return worker

    async def _keep(self, worker: Worker) -> None:
        """Start a worker again each time it dies."""
        settings = self._settings.model_copy(update={"example": False})
        deaths = 0
        while True:
            code = await worker.ended()
            deaths = 1 if worker.age_s > WELL_S else deaths + 1
            pause_s = min(LONGEST_PAUSE_S, 2.0 ** (deaths - 2)) if deaths > 1 else 0.0
            forget(worker.number, self._folder)
            log.error(
                "worker died",
                worker=worker.number,
                process=worker.pid,
                exit_code=code,
                seconds=round(worker.age_s, 3),
                pause_seconds=pause_s,
            )
            await asyncio.sleep(pause_s)
            worker = self._start(worker.number, settings)
            await self._bring_in(worker)

    async def _bring_in(self, worker: Worker) -> None:
        """Let a worker that was restarted accept, once it is proved."""
        try:
            await worker.proved()
        except CannotStart as error:
            log.error("worker cannot start", worker=worker.number, reason=str(error))
            if not any(other.alive for other in self._workers.values() if other is not worker):
                raise
            return
        worker.accept()
        log.info(
            "worker restarted",
            worker=worker.number,
            process=worker.pid,
            seconds=round(worker.age_s, 3),
        )

    async def _stop(self) -> None:
        """Drain all workers, and end those that do not come to an end."""
        self._listener.close()  # else who connects would wait for nobody
        workers = [worker for worker in self._workers.values() if worker.alive]
        for worker in workers:
            worker.terminate()
        ends = [asyncio.create_task(worker.ended()) for worker in workers]
        if ends:
            await asyncio.wait(ends, timeout=self._settings.drain_s + STOP_MARGIN_S)
        for worker in workers:
            if worker.alive:
                log.warning("worker killed", worker=worker.number, process=worker.pid)
                worker.kill()
        await asyncio.gather(*ends)


def work(number: int, settings: Settings, listener: socket, parent: Connection) -> None:
    """A worker's whole life: prove the models, wait for the word, serve; in a process of its own.

    Args:
        number: of the worker.
        settings: of the service.
        listener: bound by the parent.
        parent: takes the names of the models, or the sentence why there are none.
    """
    try:
        stop_on_signals()
        configure_logging(settings.log_level, worker=number)
        count_as(number)
        app = _prove(settings, parent)
        parent.recv()
        Thread(target=_outlive_nobody, args=(parent,), daemon=True).start()
        from service.server import serve  # noqa: PLC0415 - the parent imports this file, too

        serve(app, listener, settings)
    except (Stopped, EOFError, BrokenPipeError):  # the parent's signal, or its end
        log.info("stopped")


def _prove(settings: Settings, parent: Connection) -> FastAPI:
    from service.app import create_app  # noqa: PLC0415 - the parent needs no engine

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
    resource_tracker.ensure_running()  # which unblocks it, where `start` would have to do this
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
