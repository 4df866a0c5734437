"""The worker's side of a worker process: prove the models, wait for the parent, serve.

The pipe to the parent closes when the parent ends, for whatever reason. The worker then stops too.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from socket import socket
from threading import Thread
from typing import TYPE_CHECKING

from lockstep.errors import LockstepError
from lockstep_service.process.ending import (
    EXIT_CANNOT_START,
    Stopped,
    end_undisturbed,
    stop_on_signals,
)
from lockstep_service.settings import Settings
from lockstep_service.view.log import configure_logging, log
from lockstep_service.view.telemetry import count_as

if TYPE_CHECKING:
    from lockstep_service.app import Application


def work(
    number: int, settings: Settings, listener: socket, folder: Path, parent: Connection
) -> None:
    """Run a worker: prove the models, wait for the parent, and serve until a signal.

    The messages on the pipe, in order:

    1. to the parent: the names of the models, or the reason why none can be served;
    2. from the parent: accept connections;
    3. to the parent: connections are accepted.

    Args:
        number: of the worker.
        settings: of the service.
        listener: bound by the parent.
        folder: of the shared metrics.
        parent: the pipe to the parent.

    Raises:
        SystemExit: with the exit code 3, where no model can be served.
    """
    try:
        stop_on_signals()
        configure_logging(settings.log_level, worker=number)
        count_as(number)
        from lockstep_service.process.server import serve  # noqa: PLC0415 - the parent imports this file

        app = _prove(settings, parent)
        parent.recv()
        Thread(target=_stop_with_parent, args=(parent,), daemon=True).start()
        serve(app, listener, settings, lambda: parent.send(True))
    except (Stopped, EOFError, BrokenPipeError):  # a signal, or the end of the parent
        log.info("stopped")
        if parent.poll():  # the parent has ended, and cannot remove the folder
            rmtree(folder, ignore_errors=True)


def _prove(settings: Settings, parent: Connection) -> Application:
    from lockstep_service.app import create_app  # noqa: PLC0415 - the parent needs no engine

    try:
        app = create_app(settings)
    except LockstepError as error:
        end_undisturbed()  # the parent stops all workers at this word
        parent.send(str(error))
        sys.exit(EXIT_CANNOT_START)
    parent.send(list(app.state.repository.models))
    return app


def _stop_with_parent(parent: Connection) -> None:
    """Drain when the parent ends, even if it was killed and sent no signal."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
