"""The life of the process: start, serve, drain, stop."""

from __future__ import annotations

import signal
import socket
import sys
from types import FrameType
from uuid import uuid4

import orjson
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lockstep.artifact.folder import GOLDEN
from lockstep.artifact.golden import Golden
from lockstep.errors import LockstepError
from service.app import create_app
from service.errors import CannotStart
from service.problems import NO_HTTP, problem_body
from service.repository import Served
from service.settings import Settings
from service.telemetry import configure_logging, log

EXIT_CANNOT_START = 3
BACKLOG = 2048


class Stopped(BaseException):
    """A signal asked the process to stop; no handler of errors may take it for one."""


class Server(uvicorn.Server):
    """Uvicorn, with a word to readiness before it drains."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._gate = app.state.gate

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say that the service is stopping, then stop."""
        self._gate.stopping = True
        super().handle_exit(sig, frame)


class Protocol(HttpToolsProtocol):
    """Uvicorn's, whose answer to what is no HTTP has the shape of every other."""

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no request, and hang up."""
        del msg
        request_id = uuid4().hex
        body = problem_body(NO_HTTP, request_id)
        head = (
            f"HTTP/1.1 {NO_HTTP.status} Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
            f"x-request-id: {request_id}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def run(settings: Settings) -> int:
    """Serve until a signal stops the process.

    Returns:
        The exit code: 0 after a stop, 3 where the service cannot start.
    """
    configure_logging(settings.log_level)
    # Uvicorn puts these handlers back when it has drained, and raises the signal once more.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        app = create_app(settings)
        listener = _listen(settings.host, settings.port)
        _serve(app, listener, settings)
    except Stopped:
        log.info("stopped")
    except LockstepError as error:
        print(f"lockstep: {error}", file=sys.stderr)  # noqa: T201 - the sentence of an exit
        return EXIT_CANNOT_START
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    """A signal that came while models were loaded, or that uvicorn has drained for."""
    del number, frame
    raise Stopped


def _serve(app: FastAPI, listener: socket.socket, settings: Settings) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_s,
    )
    host, port = listener.getsockname()[:2]
    log.info("ready", host=host, port=port, models=list(app.state.repository.models))
    if settings.example:
        print(_example(next(iter(app.state.repository)), port), file=sys.stderr)  # noqa: T201 - the same
    Server(config, app).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        CannotStart: where the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotStart(
            f"Cannot listen on {host}:{port}: {error.strerror}; choose another with --port."
        ) from error


def _example(served: Served, port: int) -> str:
    """A curl line that works: the first golden row."""
    row = Golden.from_bytes(served.artifact.read(GOLDEN)).features[:1]
    body = orjson.dumps({"instances": row}, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return (
        f"\nServing {served.manifest.name}, version {served.manifest.version}. Try it:\n\n"
        f"curl -s http://localhost:{port}/models/{served.manifest.name}/predict "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
    )
