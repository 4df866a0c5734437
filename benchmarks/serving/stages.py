"""What each stage of a request costs: the parts of a single-row request, each timed by itself.

Run it with ``python -m benchmarks.serving.stages``; it writes the table of docs/stages.md. The
stages run in this process, the best of many rounds, as the server calls them; what the kernel and
uvicorn's parser take is measured on the echo, from outside, by the server's processor time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.process import ROOT
from benchmarks.serving.load import press, require_tools
from benchmarks.serving.measure import answer_sizes
from benchmarks.serving.networks import make
from benchmarks.serving.page import write_between_markers
from benchmarks.serving.servers import BODIES, CASES, ECHO, LOCKSTEP, MODELS, Case, Server
from lockstep import Settings, create_app
from lockstep.engine.engine import Outputs
from lockstep.proof.certificate import this_machine
from lockstep_service.connection.exchange import Exchange
from lockstep_service.view.log import configure_logging
from lockstep_train.report.markdown import markdown_table

PAGE = ROOT / "docs" / "stages.md"
TOGETHER = 32  # requests of one turn: about what 64 connections bring
ROUNDS, CALLS = 15, 640
SECONDS = 4
DATE = [(b"date", b"Sun, 01 Nov 2026 00:00:00 GMT")]


class Nowhere(asyncio.Transport):
    """A socket that takes every byte and sends none."""

    def write(self, data: Any) -> None:
        """Take bytes."""

    def close(self) -> None:
        """Nothing is open."""


class Waiting:
    """Waits for rows, and keeps them."""

    is_gone = False

    def __init__(self) -> None:
        self.rows: Outputs = ()

    def take(self, result: Outputs | Exception) -> None:
        """Keep the rows."""
        if isinstance(result, Exception):
            raise result
        self.rows = result


def main() -> None:
    """Measure every case, print the table and write the page."""
    require_tools()
    configure_logging("error")
    sizes = answer_sizes(print)
    columns = [_stages(case, sizes[case]) for case in CASES]
    rows = [[name, *(f"{column[name]:.1f}" for column in columns)] for name in columns[0]]
    heading = (
        f"{this_machine(1).processor}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}; µs of "
        f"processor time for one request of one row, {TOGETHER} of them in a turn of the event "
        f"loop."
    )
    text = f"{heading}\n\n{markdown_table(['stage', *map(str, CASES)], rows)}"
    print(text)
    write_between_markers(PAGE, text)


def _stages(case: Case, answer_bytes: int) -> dict[str, float]:
    """µs of each stage, in the order in which a request meets them."""
    app = create_app(Settings(models=make(case.shape, MODELS)))
    served = app.state.repository.find()
    route = LOCKSTEP.routes[case.dialect]
    body = (BODIES / route.body.format(model=case.shape.name)).read_bytes()
    path = route.path.format(model=case.shape.name, answer_bytes=answer_bytes).encode()
    headers = {
        b"host": b"localhost:8080",
        b"content-length": str(len(body)).encode(),
        **{name.lower().encode(): value.encode() for name, value in route.headers.items()},
    }
    shortcut = app.shortcuts.find(path, headers)
    if shortcut is None:
        raise ValueError(f"Expected a shortcut for {path!r}, there is none.")
    endpoint = shortcut.endpoint
    question = endpoint.question(shortcut.prepared, headers, body)
    batch = np.ascontiguousarray(np.repeat(question.features, TOGETHER, axis=0))
    run = served.batcher._run  # noqa: SLF001 - the engine's own run, without the queue
    one = tuple(output[:1] for output in run(batch))
    answer = question.write(one)

    def exchange() -> Exchange:
        return Exchange(
            shortcut,
            app.shortcuts,
            headers,
            Nowhere(),
            keep_alive=True,
            default_headers=DATE,
            on_response=lambda: None,
        )

    made = exchange()
    found = {
        "find the endpoint, give an id": _fastest(
            lambda: (app.shortcuts.find(path, headers), exchange())
        ),
        "read and check the body": _fastest(
            lambda: endpoint.question(shortcut.prepared, headers, body)
        ),
        "the engine, its share of a batch": _fastest(lambda: run(batch)) / TOGETHER,
        "queue, batch, give back": _batched(served.batcher, question.features)
        - _fastest(lambda: run(batch)) / TOGETHER,
        "write the answer": _fastest(lambda: question.write(one)),
        "head, metrics": _fastest(lambda: made._send(answer)),  # noqa: SLF001
    }
    own = sum(found.values())
    ceiling = _cpu_us(ECHO, case, answer_bytes)
    whole = _cpu_us(LOCKSTEP, case, answer_bytes)
    return {
        **found,
        "**all of these**": own,
        "kernel, uvloop, HTTP parser (the rest)": max(0.0, whole - own),
        "**the server, under load**": whole,
        "bare echo, under load": ceiling,
    }


def _fastest(call: Callable[[], object]) -> float:
    """µs of a call, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (perf_counter() - begin) / CALLS)
    return best * 1e6


def _batched(batcher: Any, features: Any) -> float:
    """µs of a row from the queue to its waiter, many in a turn."""

    async def turn() -> None:
        waiting = [Waiting() for _ in range(TOGETHER)]
        for waiter in waiting:
            batcher.enqueue(features, 10.0, waiter)
        await asyncio.sleep(0)  # the turn of the batch

    async def rounds() -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            begin = perf_counter()
            for _ in range(CALLS // TOGETHER):
                await turn()
            best = min(best, (perf_counter() - begin) / CALLS)
        return best * 1e6

    return asyncio.run(rounds())


def _cpu_us(server: Server, case: Case, answer_bytes: int) -> float:
    """µs of processor time that a server takes for an answer, 64 connections at full rate."""
    with server.run(case.shape) as (port, processes):
        request = server.request(case, port, answer_bytes)
        press(request, connections=64, seconds=1)
        before = processes.cpu_s()
        load = press(request, connections=64, seconds=SECONDS)
        return (processes.cpu_s() - before) / load.answers * 1e6


if __name__ == "__main__":
    main()
