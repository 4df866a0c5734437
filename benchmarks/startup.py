"""Process start to ready, and resident memory, with the digits model that ships.

Run it with ``python benchmarks/startup.py``; it prints one Markdown table.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from lockstep.proof.certificate import this_machine

ROOT = Path(__file__).parent.parent
LIMIT_S = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(port: int, limit_s: float) -> None:
    """Ask for readiness until it is there.

    Raises:
        TimeoutError: after the limit.
    """
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()
    raise TimeoutError(f"no readiness within {limit_s} s")


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(f"no resident memory of {pid}")


def measure(engine: str) -> tuple[float, float]:
    """Start the service once: seconds to ready, and its resident memory then."""
    port = free_port()
    command = [sys.executable, "-m", "cli", "serve", "--port", str(port), "--engine", engine]
    environment = {**os.environ, "LOCKSTEP_MODELS": str(ROOT / "models" / "digits" / "1")}
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(port, LIMIT_S)
        return time.monotonic() - begin, resident_mb(process.pid)
    finally:
        process.terminate()
        process.wait(LIMIT_S)


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
