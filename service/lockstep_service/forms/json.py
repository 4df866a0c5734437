"""JSON bodies: what is read with a sentence for what is none, and what can be written."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import orjson

from lockstep_service.errors import BadRequest
from lockstep_service.http.responses import Body

# Words and numbers that JSON or a double cannot hold, but that clients write nevertheless.
NOT_FINITE = re.compile(rb"NaN|Infinity|[eE]\+?[0-9]{3}|[0-9]{309}")


INTEGER_DIGITS = 19


def read_json(body: Body) -> dict[str, Any]:
    """A body that is a JSON object.

    Raises:
        BadRequest: where it is not.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        request = _read_not_finite(body, error)
    if not isinstance(request, dict):
        raise BadRequest("Expected a JSON object, got another type.")
    return request


def _read_not_finite(body: Body, error: orjson.JSONDecodeError) -> Any:
    """A body that is JSON but for NaN, Infinity or 1e400, whose place can then be named."""
    if NOT_FINITE.search(body):
        try:
            request = json.loads(body.decode(), parse_int=_integer)
            orjson.dumps(request)  # half a surrogate pair could not be echoed
        except (ValueError, TypeError, RecursionError):
            pass
        else:
            return request
    raise BadRequest(f"Expected a JSON body, got something else: {error}.") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= INTEGER_DIGITS else float(digits)


def jsonable(output: Any) -> Any:
    """An output in a form that orjson writes: float16 widened, what is no float as a list."""
    if output.dtype.kind != "f":
        return output.tolist()
    if output.dtype == np.float16:
        return output.astype(np.float32)
    return np.ascontiguousarray(output)
