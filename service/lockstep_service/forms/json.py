"""JSON: bodies as Python objects, and outputs as values that can be written."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import orjson

from lockstep_service.errors import BadRequest
from lockstep_service.http.responses import Body

# Words and numbers that JSON or a double cannot hold, but that some clients write.
NOT_FINITE = re.compile(rb"NaN|Infinity|[eE]\+?[0-9]{3}|[0-9]{309}")
INTEGER_DIGITS = 19  # a longer integer is read as a float


def read_json(body: Body) -> dict[str, Any]:
    """Read a body that is a JSON object.

    Raises:
        BadRequest: where the body is not JSON, or is JSON of another type.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        request = _read_not_finite(body, error)
    if not isinstance(request, dict):
        raise BadRequest("Expected a JSON object, got another type.")
    return request


def _read_not_finite(body: Body, error: orjson.JSONDecodeError) -> Any:
    """Read a body that is JSON except for NaN, Infinity or numbers like 1e400.

    Later checks refuse these values, and name the instance and the column.
    """
    if NOT_FINITE.search(body):
        try:
            request = json.loads(body.decode(), parse_int=_integer)
            orjson.dumps(request)  # refuses half a surrogate pair, which no answer could quote
        except (ValueError, TypeError, RecursionError):
            pass
        else:
            return request
    raise BadRequest(f"Expected a JSON body, got something else: {error}.") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= INTEGER_DIGITS else float(digits)


def jsonable(output: Any) -> Any:
    """An output as a value that orjson can write.

    Args:
        output: an array of any type and shape.

    Returns:
        A contiguous array for floats, with float16 widened to float32; a list for other types.
    """
    if output.dtype.kind != "f":
        return output.tolist()
    if output.dtype == np.float16:
        return output.astype(np.float32)
    return np.ascontiguousarray(output)
