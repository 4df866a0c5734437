"""A worker's own life: prove the models, wait for the parent's word, serve.

The end of the pipe to the parent says that the parent is gone, however that came about: no worker
outlives it.
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
        end_undisturbed()  # the parent stops all workers at this word
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
