"""Workers or threads: the same cores, used by more processes or by more threads in a run.

Run it with ``python -m benchmarks.serving.scaling``; it writes the table of docs/workers.md.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.process import ROOT
from benchmarks.serving.bulk import body_of
from benchmarks.serving.load import press, require_tools
from benchmarks.serving.networks import IMAGE, TABULAR, Shape, make
from benchmarks.serving.page import write_between_markers
from benchmarks.serving.servers import LOCKSTEP, MODELS, Case
from lockstep.proof.certificate import this_machine
from lockstep_train.report.markdown import markdown_table

PAGE = ROOT / "docs" / "workers.md"
LARGE = Shape("large", 784, (4096, 2048), 10)
WAYS = ((1, 1), (1, 2), (2, 1))  # workers, threads
LOADS = ((TABULAR, 1, 64), (IMAGE, 1, 64), (IMAGE, 256, 4), (LARGE, 1, 16), (LARGE, 64, 2))
ROUNDS, SECONDS = 3, 3


def main() -> None:
    """Measure every load in every way, interleaved; print the table and write the page."""
    require_tools()
    rates: dict[tuple[int, int], list[float]] = {}
    for _, (place, (shape, rows, connections)) in product(range(ROUNDS), enumerate(LOADS)):
        for way, (workers, threads) in enumerate(WAYS):
            rate = _rows_per_s(shape, rows, connections, workers, threads)
            rates.setdefault((place, way), []).append(rate)
            print(f"{shape} {rows} row(s), {workers} worker(s), {threads} thread(s): {rate:,.0f}")
    lines = []
    for place, (shape, rows, connections) in enumerate(LOADS):
        each = [median(rates[place, way]) for way in range(len(WAYS))]
        cells = [f"{rate:,.0f}" for rate in each]
        lines.append([str(shape), str(rows), str(connections), *cells])
    head = ["network", "rows a request", "connections", *map(_way, WAYS)]
    heading = (
        f"{this_machine(1).processor}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}; rows "
        f"a second, binary requests, medians of {ROUNDS} rounds of {SECONDS} s, load on the same "
        f"cores."
    )
    text = f"{heading}\n\n{markdown_table(head, lines)}"
    print(f"\n{text}")
    write_between_markers(PAGE, text)


def _way(way: tuple[int, int]) -> str:
    workers, threads = way
    return f"{workers} worker(s) × {threads} thread(s)"


def _rows_per_s(shape: Shape, rows: int, connections: int, workers: int, threads: int) -> float:
    make(shape, MODELS)
    environment = {"LOCKSTEP_WORKERS": str(workers), "LOCKSTEP_THREADS": str(threads)}
    with LOCKSTEP.run(shape, environment) as (port, _):
        request = LOCKSTEP.request(Case(shape, "binary"), port)._replace(body=_body(shape, rows))
        press(request, connections=connections, seconds=1)
        return press(request, connections=connections, seconds=SECONDS).rate * rows


def _body(shape: Shape, rows: int) -> Path:
    path = body_of(shape, rows)
    if np.fromfile(path, "<f4").size != rows * shape.features:
        raise ValueError(f"Expected {rows} rows in {path}; remove it.")
    return path


if __name__ == "__main__":
    main()
