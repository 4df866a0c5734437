"""The process that reads an untrusted TorchScript file, and reports on it.

Loading such a file can run its code. So the process imports torch first. Then it gives up every
right that reading does not need. Only then does it read the first byte of the file.
"""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field

from lockstep.errors import Unreadable
from lockstep.proof.audit.finding import AuditReport
from lockstep.proof.confined.confinement import ProcessLimits, confine

LONGEST_SENTENCE = 1000


class ConfinedAnswer(BaseModel):
    """The answer of the process: a report, or a sentence that says why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    report: AuditReport | None = None
    unreadable: str | None = Field(default=None, max_length=LONGEST_SENTENCE)


def main(*limits: int) -> None:
    """Read the file on stdin, write an :class:`ConfinedAnswer` as JSON to stdout, and end.

    Args:
        limits: the fields of :class:`ProcessLimits`.
    """
    # Code of the file may print. Only the answer may go to stdout, so fd 1 becomes stderr, which is
    # discarded.
    output = os.dup(1)
    os.dup2(2, 1)
    from lockstep.engine.torchscript import load_module  # noqa: PLC0415 - torch on demand
    from lockstep.proof.audit.torchscript import audit_torchscript  # noqa: PLC0415 - the same

    bounds = ProcessLimits(*limits)
    confine(bounds)
    try:
        model = b"".join(iter(lambda: os.read(0, 1 << 24), b""))
        answer = ConfinedAnswer(report=audit_torchscript(load_module(model)))
    except Unreadable as error:
        answer = ConfinedAnswer(unreadable=str(error)[:LONGEST_SENTENCE])
    except MemoryError:
        answer = ConfinedAnswer(
            unreadable=f"reading it takes more than {bounds.memory_bytes >> 20} MiB of memory."
        )
    written = answer.model_dump_json().encode()
    if len(written) > bounds.file_bytes:
        written = (
            ConfinedAnswer(unreadable=f"its report is longer than {bounds.file_bytes >> 10} KiB.")
            .model_dump_json()
            .encode()
        )
    while written:
        written = written[os.write(output, written) :]
    os._exit(0)  # no exit handler or thread of the file runs
