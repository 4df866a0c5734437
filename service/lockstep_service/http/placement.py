"""Placement: which work on a request is done in the event loop, and which in a thread.

The loop answers everybody, so nothing is to hold it up for much longer than a millisecond; a thread
costs a request about 0.1 ms more. A body is judged by its bytes, an answer by its values, each for
itself: a short body may ask for a long answer. What a body unpacks to is not known beforehand, so
a compressed one is always read in a thread.
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
        body_bytes: as received.
        headers: of the request, by their lower-case names.
    """
    return body_bytes >= READ_IN_LOOP_BYTES or b"content-encoding" in headers


def is_long_to_write(answers: Outputs) -> bool:
    """Whether an answer is written in a thread.

    Args:
        answers: of a judged run; the place of the best class counts as a value of its row.
    """
    values = 0
    for output in answers:
        values += output.size
    return values > WRITE_IN_LOOP_VALUES


async def placed(is_long: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work in a thread where it is long, else here."""
    if is_long:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)
