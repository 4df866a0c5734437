"""The servers that are compared, as one list, and what each of them is asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from benchmarks.process import ROOT, Tree, free_port, serving
from benchmarks.serving.load import Request
from benchmarks.serving.networks import IMAGE, TABULAR, Shape, make
from lockstep.artifact.manifest import Precision

WORK = ROOT / ".lockstep" / "bench"
MODELS = WORK / "models"
BODIES = Path(__file__).parent / "bodies"

Dialect = Literal["JSON", "binary"]


class Case(NamedTuple):
    """One body that is sent, and the network that answers it."""

    shape: Shape
    dialect: Dialect

    def __str__(self) -> str:
        return f"{self.shape.features} features, {self.dialect}"


CASES = (Case(TABULAR, "JSON"), Case(IMAGE, "JSON"), Case(IMAGE, "binary"))


class Route(NamedTuple):
    """How one dialect is asked; ``{model}`` and ``{answer_bytes}`` stand for what they name."""

    path: str
    body: str
    headers: Mapping[str, str]


JSON_HEADERS = {"Content-Type": "application/json"}
BINARY_HEADERS = {
    "Content-Type": "application/octet-stream",
    "Inference-Header-Content-Length": "0",
}


@dataclass(frozen=True, eq=False)
class Server:
    """How a server is started and asked.

    Attributes:
        name: in the table.
        command: with ``{port}``, ``{spare_port}``, ``{other_port}``, ``{artifact}`` (a folder),
            ``{model}`` (its name), ``{features}``.
        routes: for each dialect that it speaks.
        ready: path that answers 200 once it can be asked.
        environment: its own variables, with the same words.
        steady: whether it is also asked at half of the reference's rate.
        precision: of the artifact that it serves.
    """

    name: str
    command: tuple[str, ...]
    routes: Mapping[Dialect, Route]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)
    steady: bool = False
    precision: Precision = "float32"

    @contextmanager
    def run(
        self, shape: Shape, environment: Mapping[str, str] | None = None
    ) -> Iterator[tuple[int, Tree]]:
        """The port and the processes of the server, answering for a network.

        Raises:
            NotReady: where it does not start.
        """
        port = free_port()
        artifact = make(shape, MODELS, self.precision)
        words = {
            "port": str(port),
            "spare_port": str(free_port()),
            "other_port": str(free_port()),
            "artifact": str(artifact),
            "model": shape.name,
            "features": str(shape.features),
        }
        command = [part.format(**words) for part in self.command]
        variables = {name: value.format(**words) for name, value in self.environment.items()}
        log = WORK / "logs" / f"{self.name.replace(' ', '_')}-{shape.name}.log"
        with serving(
            command,
            port,
            log=log,
            ready=self.ready.format(**words),
            environment={**variables, **(environment or {})},
        ) as processes:
            yield port, processes

    def with_options(self, *options: str) -> Server:
        """The same, started with further words on its command line."""
        return replace(self, command=(*self.command, *options))

    def request(self, case: Case, port: int, answer_bytes: int = 0) -> Request:
        """What it is asked in a case.

        Args:
            case: one whose dialect it speaks.
            port: where it listens.
            answer_bytes: what the echo is to answer with.
        """
        route = self.routes[case.dialect]
        path = route.path.format(model=case.shape.name, answer_bytes=answer_bytes)
        body = BODIES / route.body.format(model=case.shape.name)
        return Request(f"http://127.0.0.1:{port}{path}", body, dict(route.headers))


def ask(request: Request) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    address = urlsplit(request.url)
    connection = HTTPConnection(address.netloc, timeout=60)
    try:
        connection.request("POST", address.path, request.body.read_bytes(), request.headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _uvicorn(application: str) -> tuple[str, ...]:
    quiet = ("--log-level", "warning", "--no-access-log")
    fast = ("--loop", "uvloop", "--http", "httptools")
    return (sys.executable, "-m", "uvicorn", application, "--port", "{port}", *quiet, *fast)


def _plain(engine: str, file: str) -> Server:
    return Server(
        name=f"FastAPI + {engine}",
        command=_uvicorn("benchmarks.serving.plain_fastapi:app"),
        routes={"JSON": Route("/predict", "{model}.json", JSON_HEADERS)},
        ready="/ready",
        environment={"ENGINE": engine, "MODEL_FILE": f"{{artifact}}/{file}"},
        steady=engine == "onnxruntime",
    )


def _lockstep(
    name: str, *options: str, steady: bool = False, precision: Precision = "float32"
) -> Server:
    serve = (sys.executable, "-m", "lockstep", "serve", "--models", "{artifact}")
    return Server(
        name=name,
        command=(*serve, "--host", "127.0.0.1", "--port", "{port}", *options),
        routes={
            "JSON": Route("/predict", "{model}.json", JSON_HEADERS),
            "binary": Route("/v2/models/{model}/infer", "{model}.bin", BINARY_HEADERS),
        },
        ready="/v2/health/ready",
        steady=steady,
        precision=precision,
    )


ECHO = Server(
    name="bare echo",
    command=_uvicorn("benchmarks.serving.echo:app"),
    routes={
        "JSON": Route("/{answer_bytes}", "{model}.json", JSON_HEADERS),
        "binary": Route("/{answer_bytes}", "{model}.bin", BINARY_HEADERS),
    },
    ready="/0",
)
TORCHSCRIPT = _plain("TorchScript", "model.ts")
REFERENCE = _plain("onnxruntime", "model.onnx")
LOCKSTEP = _lockstep("Lockstep", steady=True)
TWO_WORKERS = _lockstep("Lockstep, 2 workers", "--workers", "2")
EXACT = _lockstep("Lockstep, exact precision", precision="exact")

SERVERS = (ECHO, TORCHSCRIPT, REFERENCE, LOCKSTEP, EXACT, TWO_WORKERS)
