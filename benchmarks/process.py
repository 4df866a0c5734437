"""Servers as processes: started, waited for, measured through /proc, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LOG_TAIL = 2000
END_LIMIT_S = 30.0


class NotReady(RuntimeError):
    """A server ended, or took too long, before it could be asked."""


@dataclass(frozen=True)
class Tree:
    """A process and all that descend from it."""

    pid: int

    def pids(self) -> list[int]:
        """The processes that live now, the root first."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        found = [self.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """Processor seconds that the living processes have used, in user and system mode."""
        stats = [fields for pid in self.pids() if (fields := _stat(pid))]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICKS_PER_S

    def resident_mb(self) -> float:
        """Resident memory, in MB of 10^6 bytes; what processes share counts for each."""
        return sum(self._status("VmRSS")) * 1024 / 1e6

    def threads(self) -> int:
        """Threads of all processes."""
        return sum(self._status("Threads"))

    def open_files(self) -> int:
        """File descriptors of all processes."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids())

    def _status(self, key: str) -> list[int]:
        lines = [
            line
            for pid in self.pids()
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        ]
        return [int(line.split()[1]) for line in lines if line.startswith(f"{key}:")]


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on; None where the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(
    command: Sequence[str],
    port: int,
    *,
    log: Path,
    ready: str = "/v2/health/ready",
    environment: Mapping[str, str] | None = None,
    limit_s: float = 60.0,
) -> Iterator[Tree]:
    """A server that answers at ``ready``; it and all its processes end with the block.

    Args:
        command: its command line, run in the root of the source tree.
        port: where it will listen, on 127.0.0.1.
        log: file for what it prints.
        ready: path that answers a GET with 200 once the server can be asked.
        environment: variables beside those of this process.
        limit_s: seconds until it must be ready.

    Raises:
        NotReady: with the end of what it printed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, port, ready, limit_s, log)
        yield Tree(process.pid)
    finally:
        _end(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, path: str, limit_s: float, log: Path
) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and process.poll() is None:
        if _answers(port, path):
            return
        time.sleep(0.005)
    code = process.poll()
    what = f"ended with {code}" if code is not None else f"was not ready within {limit_s:g} s"
    printed = log.read_text(errors="replace")[-LOG_TAIL:]
    raise NotReady(f"{' '.join(map(str, process.args))} {what}:\n{printed}")  # type: ignore[arg-type] # a list of words here


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):  # it does not listen yet
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End politely; then whatever of its session is left."""
    process.terminate()
    try:
        process.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing was left
