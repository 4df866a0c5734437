"""Process start to ready, and resident memory, with the digits model that ships.

Run it with ``python -m benchmarks.startup``; it prints one Markdown table.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.process import ROOT, free_port, serving
from lockstep.proof.certificate import this_machine

MODEL = Path("models") / "digits" / "1"
LOG = ROOT / ".lockstep" / "bench" / "logs" / "startup.log"


def measure(engine: str) -> tuple[float, float]:
    """Start the service once: seconds to ready, and its resident memory in MB then."""
    port = free_port()
    options = ["--models", str(MODEL), "--port", str(port), "--engine", engine]
    begin = time.monotonic()
    with serving([sys.executable, "-m", "lockstep", "serve", *options], port, log=LOG) as processes:
        return time.monotonic() - begin, processes.resident_mb()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    machine = this_machine(1)
    print(f"{machine.processor}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}, ", end="")
    print(f"median of {rounds}, after one warm start\n")
    print("| engine | start to ready, s | resident, MB |\n|---|---|---|")
    for engine in ("onnx", "torchscript"):
        measure(engine)
        seconds, memory = zip(*(measure(engine) for _ in range(rounds)), strict=True)
        print(f"| {engine} | {median(seconds):.2f} | {median(memory):.0f} |", flush=True)


if __name__ == "__main__":
    main()
