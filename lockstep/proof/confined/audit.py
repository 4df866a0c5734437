"""The audit of an untrusted TorchScript file: starts the confined process and checks its answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from typing import BinaryIO

from pydantic import ValidationError

from lockstep.errors import Unreadable, printable
from lockstep.proof.audit.finding import AuditReport
from lockstep.proof.confined.confinement import ProcessLimits, confinable
from lockstep.proof.confined.reader import ConfinedAnswer
from lockstep.proof.prove import torch_missing

START_S = 120  # to import torch, from a cold disk
MOST_REPORT_BYTES = 1 << 24
# The arguments are the limits, then the entries of this process's sys.path.
_PROGRAM = (
    "import sys; limits = map(int, sys.argv[1:4]); sys.path[:] = sys.argv[4:]; "
    "from lockstep.proof.confined.reader import main; main(*limits)"
)


def audit_confined(file: str, data: bytes, *, limits: ProcessLimits | None = None) -> AuditReport:
    """Audit a TorchScript file's bytes in a process that can do nothing but read them.

    Args:
        file: its name in messages.
        data: the whole file.
        limits: of the process; by default those of :func:`ample`.

    Raises:
        Unreadable: where the file cannot be read, the process gives no report, or this machine
            cannot confine one.
        EngineUnavailable: where torch is not installed.
    """
    if find_spec("torch") is None:
        raise torch_missing(file)
    if not confinable():
        raise Unreadable(
            f"Loading {file} can run what it says, and this machine cannot confine the process "
            "that reads it (Linux can, with seccomp, on x86_64 and aarch64); if you trust its "
            "maker, pass --unconfined."
        )
    answer = _ask(file, data, limits or ample(len(data)))
    if answer.report is not None:
        return answer.report
    if answer.unreadable is None:
        raise _silent(file, "wrote something else")
    raise Unreadable(f"{file}: {printable(answer.unreadable)}")


def ample(size: int) -> ProcessLimits:
    """Ample limits for a file of ``size`` bytes; loading copies them up to three times."""
    return ProcessLimits(
        memory_bytes=(1 << 30) + 4 * size,
        cpu_s=60 + size // 100_000_000,
        file_bytes=MOST_REPORT_BYTES,
    )


def _ask(file: str, data: bytes, limits: ProcessLimits) -> ConfinedAnswer:
    """Start the process, wait for its end, and read its answer."""
    # Files in memory need no disk, and no threads as two pipes would; the kernel bounds their size.
    places = map(os.path.abspath, sys.path)
    with _memory_file("model") as model, _memory_file("answer") as written:
        model.write(data)
        model.seek(0)
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter, and arguments of our own
                [sys.executable, "-IBc", _PROGRAM, *map(str, limits), *places],
                stdin=model,
                stdout=written,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"OMP_NUM_THREADS": "1"},  # it may start no other thread
                timeout=START_S + 2 * limits.cpu_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _silent(file, f"was not done after {error.timeout:.0f} s") from error
        except OSError as error:
            raise Unreadable(f"{file}: no process can be started to read it: {error}.") from error
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name
            raise _silent(file, f"was ended by {name} (it has {limits.cpu_s} s to compute)")
        if done.returncode > 0:
            raise _silent(file, f"ended with exit code {done.returncode}")
        written.seek(0)
        try:
            return ConfinedAnswer.model_validate_json(written.read(MOST_REPORT_BYTES))
        except ValidationError as error:
            raise _silent(file, "wrote something else") from error


def _memory_file(name: str) -> BinaryIO:
    return os.fdopen(os.memfd_create(name), "w+b")


def _silent(file: str, how: str) -> Unreadable:
    return Unreadable(
        f"Expected a report on {file}, but the confined process that reads it {how}; do not load "
        "the file unless you trust its maker."
    )
