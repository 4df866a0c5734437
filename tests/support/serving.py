"""The service under test: in this process over ASGI, or in its own over a socket."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import onnx
import uvicorn
from fastapi import FastAPI

from lockstep.artifact.folder import GOLDEN, Artifact, open_artifact, write_artifact
from lockstep.artifact.golden import Golden
from lockstep.engine.engine import MODEL_FILES, Engine, EngineName, open_engine
from lockstep_service.app import Application
from lockstep_service.process.listener import bind, listen
from lockstep_service.process.server import connections

ROOT = Path(__file__).parents[2]
PROBLEM = {"error", "code", "request_id"}
READY_S = 30
MODULE = (sys.executable, "-m", "lockstep")


def client(app: FastAPI) -> httpx.AsyncClient:
    """A client of an application in this process; to be entered."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """One request to an application in this process."""

    async def asked() -> httpx.Response:
        async with client(app) as http:
            return await http.request(method, path, **options)

    return asyncio.run(asked())


def post(app: FastAPI, path: str, body: Any) -> httpx.Response:
    """One request with a body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(app, "POST", path, content=content)


def assert_problem(answer: httpx.Response, status: int, *words: str) -> None:
    """An answer that is no success has the one shape, says why, and tells no internals."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    problem = answer.json()
    assert problem.keys() == PROBLEM
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["code"].replace("_", "").isalpha()
    for word in words:
        assert word in problem["error"]
    for internal in ("Traceback", 'File "', ".py", "numpy", "pydantic"):
        assert internal not in answer.text


def model_of(graph: str) -> onnx.ModelProto:
    """An ONNX model of a graph in its text form."""
    return onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 18]>\n{graph}')


def golden_rows(artifact: Path) -> np.ndarray:
    """The golden rows' features, float32 ``[n, d]``."""
    return Golden.from_bytes(open_artifact(artifact).read(GOLDEN)).features


def engine_of(artifact: Artifact, name: EngineName) -> Engine:
    """An engine of the artifact's own file, opened beside whatever serves."""
    return open_engine(name, artifact.read(MODEL_FILES[name]), artifact.manifest.outputs)


def probabilities(answer: httpx.Response) -> np.ndarray:
    """The float32 rows of a plain answer, or the first output of an OIP answer."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if "outputs" in body:
        output = body["outputs"][0]
        return np.array(output["data"], np.float32).reshape(output["shape"])
    rows = [
        prediction["probabilities"] if "label" in prediction else [prediction["prediction"]]
        for prediction in body["predictions"]
    ]
    return np.array(rows, np.float32)


def bits(values: np.ndarray) -> bytes:
    """What must be equal where answers are equal: type, shape and every bit."""
    return f"{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes()


def resealed(artifact: Path, models: Path, files: Mapping[str, bytes], **update: Any) -> Artifact:
    """The artifact with other files and another manifest, and digests that hold."""
    original = open_artifact(artifact)
    kept = {file: original.read(file) for file in original.manifest.files}
    manifest = original.manifest.model_copy(update=update)
    return write_artifact(models, manifest, {**kept, **files})


def copied(artifact: Path, models: Path) -> Path:
    """A copy of the artifact in another repository, under its own name and version."""
    target = models / artifact.parent.name / artifact.name
    return Path(shutil.copytree(artifact, target))


def flip_byte(path: Path, position: int) -> None:
    """Change one byte of a file, counted from its start and round."""
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 0x01
    path.write_bytes(bytes(data))


def write_table(path: Path, names: Iterable[str], rows: np.ndarray) -> Path:
    """Rows as a CSV table with a header; each float in its shortest form."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([[str(value) for value in row] for row in rows])
    return path


def read_scores(text: str) -> tuple[list[str], np.ndarray]:
    """Labels and float32 rows of what `lockstep predict` wrote for a classifier."""
    rows = list(csv.DictReader(io.StringIO(text)))
    numbers = [[v for k, v in row.items() if k.startswith("probability_")] for row in rows]
    return [row["label"] for row in rows], np.array(numbers, np.float32)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, without what would speak to the service, and with this."""
    spoken = ("LOCKSTEP_", "AIP_", "SAGEMAKER_", "AZUREML_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(spoken) and k != "PORT"}
    return {**kept, "OMP_NUM_THREADS": "1", **variables}


def run_command(
    *words: str | Path,
    program: Sequence[str | Path] = MODULE,
    folder: Path = ROOT,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run `lockstep WORDS` to its end, by that program and in that folder."""
    return subprocess.run(
        [*map(str, program), *map(str, words)],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=READY_S * 2,
        check=False,
    )


@contextmanager
def listening(app: Application, loop: Literal["asyncio", "uvloop"] = "asyncio") -> Iterator[int]:
    """The application behind a real socket, in a thread of this process; its port."""
    listener = bind("127.0.0.1", 0)
    listen(listener)
    config = uvicorn.Config(
        app,
        http=connections(app),
        loop=loop,
        log_config=None,
        lifespan="off",
        server_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Process:
    """`lockstep serve`, ready.

    Attributes:
        process: running.
        address: its URL.
        lines: what it has logged so far.
    """

    process: subprocess.Popen[str]
    address: str
    lines: list[dict[str, Any]]

    def stop(self) -> tuple[int, str]:
        """SIGTERM; exit code and what stood on stderr."""
        self.process.terminate()
        code = self.process.wait(READY_S)
        stderr = self.process.stderr
        assert stderr is not None
        return code, stderr.read()


@contextmanager
def serving(
    models: Path,
    *flags: str,
    program: Sequence[str | Path] = MODULE,
    folder: Path = ROOT,
    **variables: str,
) -> Iterator[Process]:
    """`lockstep serve` on a free port, until the block is left."""
    words = ["serve", "--models", str(models), "--host", "127.0.0.1", "--port", "0", *flags]
    with subprocess.Popen(
        [*map(str, program), *words],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            lines: list[dict[str, Any]] = []
            port = _wait_until_ready(process, lines)
            yield Process(process, f"http://127.0.0.1:{port}", lines)
        finally:
            process.kill()


def _wait_until_ready(process: subprocess.Popen[str], lines: list[dict[str, Any]]) -> int:
    """Its port, read off its log; the rest of the log is gathered as it comes."""
    stdout = process.stdout
    assert stdout is not None
    timer = threading.Timer(READY_S, process.kill)
    timer.start()
    for line in stdout:
        lines.append(json.loads(line))
        if lines[-1]["event"] == "ready":
            timer.cancel()
            rest = threading.Thread(
                target=lambda: lines.extend(map(json.loads, stdout)), daemon=True
            )
            rest.start()
            return int(lines[-1]["port"])
    timer.cancel()
    assert process.stderr is not None
    raise AssertionError(f"The service ended before it was ready: {process.stderr.read()}")
