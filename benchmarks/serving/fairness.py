"""Does large work starve small: single rows at a steady rate, alone and beside a huge request.

Run it with ``python -m benchmarks.serving.fairness``. One client keeps sending single rows; another
sends one request of 100,000 rows after the other, binary or JSON. Prints the single rows' p99 alone
and beside it; the bound is one for binary requests.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median

import numpy as np

from benchmarks.serving.bulk import body_of
from benchmarks.serving.load import Load, Request, hold, require_tools
from benchmarks.serving.networks import IMAGE, TABULAR, Shape
from benchmarks.serving.servers import LOCKSTEP, WORK, Case, ask

ROWS = 100_000
BODY_LIMIT_BYTES = 512 * 2**20
RATE = 200.0
CONNECTIONS = 4
BOUND = 3.0
HUGE = (Case(TABULAR, "binary"), Case(IMAGE, "binary"), Case(TABULAR, "JSON"))


class HugeRequests(threading.Thread):
    """One client that sends a huge request, waits for the answer, and begins again."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._stop_asked = threading.Event()
        self.seconds: list[float] = []
        self.refusal: str | None = None

    def run(self) -> None:
        """Send until asked to stop, or refused."""
        while not self._stop_asked.is_set():
            begin = time.monotonic()
            try:
                status, answer = ask(self._request)
            except OSError as error:
                self.refusal = f"connection lost: {error}"
                return
            if status != 200:
                self.refusal = f"{status}: {answer[:200].decode(errors='replace')}"
                return
            self.seconds.append(time.monotonic() - begin)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Send for as long as the block takes, and the answer after."""
        self.start()
        try:
            yield
        finally:
            self._stop_asked.set()
            self.join()


def measure(case: Case, rounds: int, seconds: int) -> str:
    """One row of the table: p99 alone, beside huge requests of a dialect, and their quotient."""
    shape = case.shape
    limits = {"LOCKSTEP_BODY_LIMIT_BYTES": str(BODY_LIMIT_BYTES)}
    alone, beside, huge_s = [], [], []
    with LOCKSTEP.run(shape, limits) as (port, _):
        single = LOCKSTEP.request(Case(shape, "JSON"), port)
        body = body_of(shape, ROWS) if case.dialect == "binary" else _json_of(shape)
        huge = LOCKSTEP.request(case, port)._replace(body=body)
        for _ in range(rounds):
            alone.append(_steady(single, seconds))
            client = HugeRequests(huge)
            with client.beside():
                beside.append(_steady(single, seconds))
            if client.refusal:
                return f"| {case} | – | – | – | – | refused: {client.refusal} |"
            huge_s += client.seconds
    p99_alone, p99_beside = (median(load.p99_ms for load in loads) for loads in (alone, beside))
    refused = sum(load.refused for load in beside)
    verdict = "met" if p99_beside <= BOUND * p99_alone and not refused else "**missed**"
    verdict = f", {verdict}" if case.dialect == "binary" else ""
    return (
        f"| {case} | {p99_alone:.1f} ms | {p99_beside:.1f} ms | "
        f"{p99_beside / p99_alone:.1f}{verdict} | "
        f"{refused} of {sum(load.answers for load in beside)} | {len(huge_s)}, "
        f"{mean(huge_s):.2f} s each |"
    )


def _json_of(shape: Shape) -> Path:
    """The same rows as `body_of`, as instances of the plain dialect."""
    path = WORK / "bodies" / f"{shape.name}-{ROWS}.json"
    if not path.exists():
        rows = np.frombuffer(body_of(shape, ROWS).read_bytes(), "<f4")
        instances = rows.astype(np.float64).round(4).reshape(-1, shape.features).tolist()
        path.write_text(json.dumps({"instances": instances}))
    return path


def _steady(request: Request, seconds: int) -> Load:
    return hold(request, rate=RATE, connections=CONNECTIONS, seconds=seconds)


def main() -> None:
    """Measure both networks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    arguments = parser.parse_args()
    require_tools()
    print(f"Single rows, JSON, {RATE:.0f} a second over {CONNECTIONS} connections; p99, medians\n")
    head = ("100,000 rows of", "alone", f"beside {ROWS:,} rows", f"quotient, ≤ {BOUND:g}")
    print(f"| {' | '.join((*head, 'single rows refused', 'huge requests'))} |")
    print("|---|---|---|---|---|---|")
    for case in HUGE:
        print(measure(case, arguments.rounds, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
