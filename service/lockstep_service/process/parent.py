"""The parent of the workers: several processes behind one port.

The parent binds the port and answers nothing. It holds no model and imports no engine. Every worker
proves the models for itself, and then waits for the parent. The port opens when all workers have
proved their models, so the first connections are spread over all of them. All workers accept from
one socket, which the parent keeps open. So a connection that was not yet accepted survives the
death of a worker.
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

# A worker that lived longer than WELL_S is restarted at once, and so is one that dies early for the
# first time. After each further early death the pause before the restart doubles, from 1 s.
WELL_S = 30.0
LONGEST_PAUSE_S = 30.0
# Time for a worker to stop after the drain. With the default drain the sum is below the 10 s that
# platforms usually grant.
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
    except Stopped:  # before a worker was started
        pass
    except LockstepError as error:
        return cannot_start(error)
    log.info("stopped")
    return 0


class Workers:
    """The worker processes of one service.

    Args:
        settings: of the service.
        listener: bound, not listening yet.
        folder: of the shared metrics.
    """

    def __init__(self, settings: Settings, listener: socket, folder: Path) -> None:
        self._settings = settings
        self._listener = listener
        self._folder = folder
        self._workers: dict[int, Worker] = {}

    async def serve(self) -> None:
        """Start the workers, restart those that die, and drain all of them after a signal.

        Raises:
            CannotStart: where no model can be served, or the port is taken.
        """
        signalled = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled.set)
        tasks = [asyncio.create_task(self._keep_all()), asyncio.create_task(signalled.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises the error that ended the service
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop()

    async def _keep_all(self) -> None:
        """Start all workers, open the port, and restart workers that die."""
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
        """Restart a worker each time it dies."""
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
        """Let a restarted worker accept connections when it has proved its models.

        Raises:
            CannotStart: where it cannot, and no other worker is alive.
        """
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
        """Drain all workers, and kill those that do not stop in time."""
        self._listener.close()  # else new connections would wait, and no process would accept them
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
