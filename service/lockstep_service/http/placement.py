"""Placement: which work on a request is done in the event loop, and which in a thread.

All requests share the event loop, so no work may block it for much longer than a millisecond. A
thread costs a request about 0.1 ms more. The size of a body decides where it is read, and the size
of an answer where it is written: a short body may ask for a long answer. The decompressed size of a
body is not known beforehand, so a compressed body is always read in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lockstep.engine.engine import Outputs
from lockstep_service.http.headers import Headers

READ_IN_LOOP_BYTES = 2**20
# In JSON, compressed, about 1 ms; docs/stages.md has the figures.
WRITE_IN_LOOP_VALUES = 2**12

P = ParamSpec("P")
T = TypeVar("T")


def is_long_to_read(body_bytes: int, headers: Headers) -> bool:
    """Whether a body is read in a thread.

    Args:
        body_bytes: its size as received.
        headers: of the request, by their lower-case names.
    """
    return body_bytes >= READ_IN_LOOP_BYTES or b"content-encoding" in headers


def is_long_to_write(answers: Outputs) -> bool:
    """Whether an answer is written in a thread.

    Args:
        answers: the outputs of a judged run. The index of the best class counts as a value.
    """
    if len(answers) == 2:  # nearly every network has one output: no loop
        return answers[0].size + len(answers[1]) > WRITE_IN_LOOP_VALUES
    return sum(output.size for output in answers) > WRITE_IN_LOOP_VALUES


async def placed(is_long: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread if its work is long, else directly.

    Args:
        is_long: whether the work is long.
        work: the function.
        args: of the function.
        kwargs: of the function.
    """
    if is_long:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)
