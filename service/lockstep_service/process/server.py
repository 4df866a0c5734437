"""The server: one process that starts, answers, drains and stops."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Literal

import orjson
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from lockstep.errors import LockstepError
from lockstep_service.app import Application, create_app
from lockstep_service.connection.trial import TESTED, fault_of
from lockstep_service.process.ending import Stopped, cannot_start, stop_on_signals
from lockstep_service.process.listener import bind, listen
from lockstep_service.repository.repository import Repository
from lockstep_service.settings import Settings
from lockstep_service.view.log import configure_logging, log

# The objects of a request are freed by their reference counts. A search for cycles after every 700
# new objects (Python's default) took a tenth of the time.
GARBAGE_THRESHOLD = 10_000

# A factory of connections, or uvicorn's name for its own.
Http = Callable[..., asyncio.Protocol] | Literal["httptools"]


class Server(uvicorn.Server):
    """Uvicorn's server, with a callback when it accepts connections, and a gate.

    Args:
        config: of uvicorn.
        app: whose ``state.gate`` is set before the drain, so that the service is not ready.
        on_accepting: called once, when connections are accepted.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        on_accepting: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(config)
        self._gate = app.state.gate
        self._on_accepting = on_accepting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, and call ``on_accepting``. From now on a signal drains."""
        await super().startup(sockets=sockets)
        if self._on_accepting is not None:
            self._on_accepting()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Set the gate to stopping, then drain and stop."""
        self._gate.stopping = True
        super().handle_exit(sig, frame)


def run(settings: Settings) -> int:
    """Serve in this process until a signal stops it.

    Returns:
        The exit code: 0 after a stop, 3 where the service cannot start.
    """
    configure_logging(settings.log_level)
    # Uvicorn restores these handlers after the drain, and raises the signal again.
    stop_on_signals()
    try:
        app = create_app(settings)
        listener = bind(settings.host, settings.port)
        listen(listener)
        serve(app, listener, settings, lambda: _say_ready(app, listener))
    except Stopped:
        log.info("stopped")
    except LockstepError as error:
        return cannot_start(error)
    return 0


def _say_ready(app: FastAPI, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    log.info("ready", host=host, port=port, models=list(app.state.repository.models))


def connections(app: Application) -> Callable[..., asyncio.Protocol]:
    """The factory of connections for an application with shortcuts."""
    from lockstep_service.connection.connection import Connection  # noqa: PLC0415 - not before the trial

    return partial(Connection, app.shortcuts)


def configure(app: ASGIApp, http: Http, drain_s: int) -> uvicorn.Config:
    """Uvicorn's configuration for an application.

    Args:
        app: to be served.
        http: makes its connections.
        drain_s: seconds for requests in flight when the service stops.
    """
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=http,  # type: ignore[arg-type]  # called as a class is
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the service does not use the client's address
        timeout_graceful_shutdown=drain_s,
    )


def _tried_connections(app: Application, drain_s: int) -> Http:
    """Our connections; uvicorn's own, without shortcuts, if ours fail the trial."""
    fault = fault_of(lambda small: configure(small, "httptools", drain_s))
    if fault is None:
        return connections(app)
    log.warning(
        "shortcuts are off",
        reason=fault,
        uvicorn=uvicorn.__version__,
        advice=(
            "Requests are answered over ASGI with the same bits, slower, and without the refusal "
            f"of what a proxy may read in another way; install {TESTED}."
        ),
    )
    return "httptools"


def serve(
    app: Application,
    listener: socket.socket,
    settings: Settings,
    on_accepting: Callable[[], object],
) -> None:
    """Answer the connections of a socket until a signal, then drain them.

    Args:
        app: proved and wired.
        listener: bound and listening; other processes may accept from it too.
        settings: of the service.
        on_accepting: called once, when connections are accepted.

    Raises:
        Stopped: after the signal, when the requests in flight have been answered.
    """
    config = configure(app, _tried_connections(app, settings.drain_s), settings.drain_s)
    # The objects loaded so far live as long as the process. The garbage collector skips them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)

    def begun() -> None:
        on_accepting()
        if settings.example:
            example = _example(app.state.repository, listener.getsockname()[1])
            print(example, file=sys.stderr)  # noqa: T201 - for people, not a log line

    Server(config, app, begun).run(sockets=[listener])


def _example(repository: Repository, port: int) -> str:
    """A curl command that sends the first golden row to a model's highest served version."""
    served = next(found for name, version, found in repository.addresses() if name and not version)
    body = orjson.dumps({"instances": served.row}, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return (
        f"\nServing {served.manifest.name}, version {served.manifest.version}. Try it:\n\n"
        f"curl -s http://localhost:{port}/models/{served.manifest.name}/predict "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
    )
