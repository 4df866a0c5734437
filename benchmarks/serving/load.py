"""Load from outside: wrk for the greatest rate, hey for a steady one."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Request(NamedTuple):
    """What is sent, over and over."""

    url: str
    body: Path
    headers: Mapping[str, str]


class LoadFailed(RuntimeError):
    """A server under load that refused what it should answer, or lost connections."""


@dataclass(frozen=True)
class Load:
    """What was measured.

    Attributes:
        answers: all that came.
        refused: those of them that were no success.
        rate: answers a second.
        p50_ms: half of the answers came within it.
        p99_ms: 99 of 100 came within it.
    """

    answers: int
    refused: int
    rate: float
    p50_ms: float
    p99_ms: float


def require_tools() -> None:
    """End with a sentence where wrk or hey is not installed."""
    missing = [tool for tool in ("wrk", "hey") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"The benchmark needs {' and '.join(missing)}: apt-get install wrk hey")


def press(request: Request, *, connections: int, seconds: int) -> Load:
    """The greatest rate that a number of connections gets answered, by wrk with one thread.

    Raises:
        LoadFailed: where an answer was no success.
    """
    script = ['wrk.method = "POST"', f"wrk.body = {_lua_body(request)}"]
    script += [f'wrk.headers["{name}"] = "{value}"' for name, value in request.headers.items()]
    load = _wrk(request.url, script, connections, seconds)
    if load.refused:
        raise LoadFailed(f"{request.url} refused {load.refused} of {load.answers} requests.")
    return load


def press_mixed(requests: Sequence[Request], *, connections: int, seconds: int) -> Load:
    """The same, with requests to one server that take turns; some may be refused.

    Raises:
        LoadFailed: where a connection failed.
    """
    script = ["local made, turn = {}, 0", "function init()"]
    for request in requests:
        names = {"Host": urlsplit(request.url).netloc, **request.headers}
        headers = ", ".join(f'["{name}"] = "{value}"' for name, value in names.items())
        made = f'"POST", "{urlsplit(request.url).path}", {{{headers}}}, {_lua_body(request)}'
        script.append(f"made[#made + 1] = wrk.format({made})")
    script += ["end", "function request()", "turn = turn % #made + 1", "return made[turn]", "end"]
    return _wrk(requests[0].url, script, connections, seconds)


def _lua_body(request: Request) -> str:
    return f'io.open("{request.body}", "rb"):read("*a")'


def _wrk(url: str, script: Sequence[str], connections: int, seconds: int) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(script))
        file.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds}", "--latency", "--timeout", "30"]
        printed = _run(["wrk", *options, "-s", file.name, url])
    if "Socket errors" in printed:
        raise LoadFailed(f"{url} lost connections:\n{printed}")
    refused = re.findall(r"Non-2xx or 3xx responses: (\d+)", printed)
    return Load(
        answers=int(re.findall(r"(\d+) requests in", printed)[0]),
        refused=int(refused[0]) if refused else 0,
        rate=float(re.findall(r"Requests/sec:\s+([\d.]+)", printed)[0]),
        p50_ms=_wrk_ms(printed, "50"),
        p99_ms=_wrk_ms(printed, "99"),
    )


def _wrk_ms(printed: str, percentile: str) -> float:
    value, unit = re.findall(rf"{percentile}%\s+([\d.]+)(us|ms|s)", printed)[0]
    return float(value) * UNITS_MS[unit]


def hold(request: Request, *, rate: float, connections: int, seconds: int) -> Load:
    """Latencies at a steady rate, by hey, which keeps one for each connection.

    They are measured in steps of 0.1 ms, and of refusals as well.

    Raises:
        LoadFailed: where a connection failed.
    """
    each = max(1, round(rate / connections))
    headers = [part for item in request.headers.items() for part in ("-H", ": ".join(item))]
    options = ["-m", "POST", "-z", f"{seconds}s", "-c", str(connections), "-q", str(each)]
    printed = _run(["hey", *options, *headers, "-D", str(request.body), request.url])
    if "Error distribution" in printed:
        raise LoadFailed(f"{request.url} lost connections:\n{printed}")
    statuses = re.findall(r"\[(\d+)\]\s+(\d+) responses", printed)
    return Load(
        answers=sum(int(number) for _, number in statuses),
        refused=sum(int(number) for status, number in statuses if status != "200"),
        rate=float(re.findall(r"Requests/sec:\s+([\d.]+)", printed)[0]),
        p50_ms=1e3 * float(re.findall(r"50% in ([\d.]+) secs", printed)[0]),
        p99_ms=1e3 * float(re.findall(r"99% in ([\d.]+) secs", printed)[0]),
    )


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
