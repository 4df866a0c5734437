"""Workers: several processes behind one port, started together, restarted, and stopped together.

The parent binds the port and answers nothing; it holds no model and imports no engine. Every worker
proves the models for itself and then waits for the parent's word: the port opens when all of them
are proved, and so the first connections are spread over all. All accept from the one socket, which
the parent keeps: who has connected but was not yet accepted loses nothing when a worker dies.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from socket import socket

from lockstep.errors import LockstepError
from lockstep_service.errors import CannotStart
from lockstep_service.process.ending import Stopped, cannot_start, stop_on_signals
from lockstep_service.process.listener import bind, listen
from lockstep_service.process.worker import Worker
from lockstep_service.settings import Settings
from lockstep_service.view.log import configure_logging, log
from lockstep_service.view.telemetry import forget, shared_metrics

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
        await asyncio.gather(*(worker.accept() for worker in self._workers.values()))
        host, port = self._listener.getsockname()[:2]
        processes = [worker.pid for worker in self._workers.values()]
        log.info("ready", host=host, port=port, models=proved[0], processes=processes)
        async with asyncio.TaskGroup() as group:
            for worker in list(self._workers.values()):
                group.create_task(self._keep(worker))

    def _start(self, number: int, settings: Settings) -> Worker:
        example = settings.example and number == 0
        settings = settings.model_copy(update={"example": example})
        worker = Worker(number, settings, self._listener, self._folder)
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
        if await worker.accept():
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
