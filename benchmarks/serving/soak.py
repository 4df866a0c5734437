"""Does anything leak: minutes of mixed load at 64 connections.

Run it with ``python -m benchmarks.serving.soak --minutes 10``. The load is good single rows, whole
batches, and requests that are refused; every 20 seconds all clients hang up in the middle of their
requests and come back. Prints resident memory, threads and file descriptors, taken at rest.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.process import Tree
from benchmarks.serving.bulk import body_of
from benchmarks.serving.load import Request, press_mixed, require_tools
from benchmarks.serving.measure import MOST_CONNECTIONS
from benchmarks.serving.networks import IMAGE
from benchmarks.serving.servers import LOCKSTEP, WORK, Case, ask

STRETCH_S = 20
REST_S = 1.0
BATCH_ROWS = 100
BOUND = 0.03


class Holdings(NamedTuple):
    """What the server's processes hold at rest."""

    resident_mb: float
    threads: int
    open_files: int


def holdings(processes: Tree) -> Holdings:
    """What they hold, once the connections are closed."""
    time.sleep(REST_S)
    return Holdings(processes.resident_mb(), processes.threads(), processes.open_files())


def mixture(port: int) -> list[Request]:
    """Requests that take turns: those that are answered, and those that are refused."""
    row = LOCKSTEP.request(Case(IMAGE, "JSON"), port)
    binary = LOCKSTEP.request(Case(IMAGE, "binary"), port)
    wrong = _written("wrong.json", b'{"instances":[[1,2,"three"]]}')
    half = _written("half.json", row.body.read_bytes()[:1000])
    wanted = [row, binary, binary._replace(body=body_of(IMAGE, BATCH_ROWS))]
    answered = [request for request in wanted if ask(request)[0] == 200]
    refused = [row._replace(body=wrong), row._replace(body=half), _elsewhere(row)]
    for request in refused:
        ask(request)  # so that what a first refusal imports is there before the count begins
    return [*answered * 3, *refused]


def _written(name: str, body: bytes) -> Path:
    path = WORK / "bodies" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def _elsewhere(request: Request) -> Request:
    return request._replace(url=request.url.replace("/predict", "/models/nobody/predict"))


def soak(minutes: float, workers: int) -> list[tuple[str, Holdings]]:
    """Press for that long, in at least two stretches.

    Returns:
        What the server held at the start, after the first minute, and at the end.
    """
    server = LOCKSTEP.with_options(*(("--workers", str(workers)) if workers > 1 else ()))
    stretches = max(2, round(minutes * 60 / STRETCH_S))
    first_minute = min(60 // STRETCH_S, stretches - 1)
    answers = refused = 0
    with server.run(IMAGE) as (port, processes):
        requests = mixture(port)
        taken = [("start", holdings(processes))]
        for stretch in range(1, stretches + 1):
            load = press_mixed(requests, connections=MOST_CONNECTIONS, seconds=STRETCH_S)
            answers += load.answers
            refused += load.refused
            if stretch == first_minute:
                taken.append((f"after {stretch * STRETCH_S} s", holdings(processes)))
        taken.append((f"after {stretches * STRETCH_S} s", holdings(processes)))
    print(f"{answers:,} requests, of which {refused:,} were refused, as they should be.\n")
    return taken


def main() -> None:
    """Measure, and print the table and the growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    require_tools()
    taken = soak(arguments.minutes, arguments.workers)
    print("| | resident, MB | threads | file descriptors |\n|---|---|---|---|")
    for moment, held in taken:
        print(f"| {moment} | {held.resident_mb:.1f} | {held.threads} | {held.open_files} |")
    growth = taken[-1][1].resident_mb / taken[1][1].resident_mb - 1
    verdict = "met" if abs(growth) <= BOUND else "missed"
    print(
        f"\nResident memory since the first minute: {growth:+.1%}, bound ±{BOUND:.0%}: {verdict}."
    )


if __name__ == "__main__":
    main()
