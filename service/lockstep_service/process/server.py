"""One process that serves: start, answer, drain, stop."""

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

# Objects that a request makes are freed by their counts; a look for cycles at every 700 of them
# (Python's default) took a tenth of the time.
GARBAGE_THRESHOLD = 10_000

# A maker of connections, or uvicorn's name for its own.
Http = Callable[..., asyncio.Protocol] | Literal["httptools"]


class Server(uvicorn.Server):
    """Uvicorn, with a word when it accepts, and a word to readiness before it drains."""

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
        """Begin to accept; from now on a signal drains."""
        await super().startup(sockets=sockets)
        if self._on_accepting is not None:
            self._on_accepting()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say that the service is stopping, then stop."""
        self._gate.stopping = True
        super().handle_exit(sig, frame)


def run(settings: Settings) -> int:
    """Serve in this process until a signal stops it.

    Returns:
        The exit code: 0 after a stop, 3 where the service cannot start.
    """
    configure_logging(settings.log_level)
    # Uvicorn puts these handlers back when it has drained, and raises the signal once more.
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
    """What uvicorn makes its connections by, for an application with shortcuts."""
    from lockstep_service.connection.connection import Connection  # noqa: PLC0415 - not before the trial

    return partial(Connection, app.shortcuts)


def configure(app: ASGIApp, http: Http, drain_s: int) -> uvicorn.Config:
    """How uvicorn serves an application; ``http`` makes its connections."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=http,  # type: ignore[arg-type]  # called as a class is
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is
        timeout_graceful_shutdown=drain_s,
    )


def _tried_connections(app: Application, drain_s: int) -> Http:
    """Our connections; or uvicorn's own, without shortcuts, where ours do not work with it."""
    fault = fault_of(lambda small: configure(small, "httptools", drain_s))
    if fault is None:
        return connections(app)
    log.warning(
        "shortcuts are off",
        reason=fault,
        uvicorn=uvicorn.__version__,
        advice=f"Requests are answered over ASGI, slower and with the same bits; install {TESTED}.",
    )
    return "httptools"


def serve(
    app: Application,
    listener: socket.socket,
    settings: Settings,
    on_accepting: Callable[[], object],
) -> None:
    """Answer what connects to a socket, until a signal; then drain it.

    Args:
        app: proved and wired.
        listener: bound and listening; other processes may accept from it as well.
        settings: of the service.
        on_accepting: called once, when connections are accepted.

    Raises:
        Stopped: after the signal, when what was in flight has been answered.
    """
    config = configure(app, _tried_connections(app, settings.drain_s), settings.drain_s)
    # What was loaded stays: the collector need not look at it again, request after request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)

    def begun() -> None:
        on_accepting()
        if settings.example:
            example = _example(app.state.repository, listener.getsockname()[1])
            print(example, file=sys.stderr)  # noqa: T201 - for a person

    Server(config, app, begun).run(sockets=[listener])


def _example(repository: Repository, port: int) -> str:
    """A curl line that works: the first golden row, to the version that a name alone asks for."""
    served = next(found for name, version, found in repository.addresses() if name and not version)
    body = orjson.dumps({"instances": served.row}, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return (
        f"\nServing {served.manifest.name}, version {served.manifest.version}. Try it:\n\n"
        f"curl -s http://localhost:{port}/models/{served.manifest.name}/predict "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
    )
