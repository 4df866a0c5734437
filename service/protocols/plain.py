"""The plain dialect: instances in, predictions out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from starlette.types import Receive, Scope, Send

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import Manifest
from lockstep.engine.engine import Rows
from service.answers import best_places
from service.bulk import BulkReader
from service.compression import pack
from service.errors import BadRequest
from service.middleware import check_json, timeout_s
from service.protocols.endpoint import Endpoint, run
from service.repository import Served
from service.responses import LARGE_BYTES, Body, send_json
from service.tensors import checked, features_of_instances

PATHS = (
    "/predict",
    "/models/{name}/predict",
    "/models/{name}/versions/{version}/predict",
)
# Words and numbers that JSON or a double cannot hold, but that clients write nevertheless.
NOT_FINITE = re.compile(rb"NaN|Infinity|[eE]\+?[0-9]{3}|[0-9]{309}")
INTEGER_DIGITS = 19
ACCEPTED = b"accept-encoding"


class Predict(Endpoint):
    """``POST /predict``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self._find(scope)
        check_json(scope)
        body = await self._body(scope, receive)
        if len(body) < LARGE_BYTES:
            features = read_features(body, served.manifest, served.bulk)
        else:
            bulk = served.bulk and served.bulk.for_another_thread()
            features = await asyncio.to_thread(read_features, body, served.manifest, bulk)
        answers = await run(
            served.batcher, features, timeout_s(scope, self._limits.timeout_s), receive
        )
        body, packed = pack(
            write_predictions(answers, served), scope["state"]["headers"].get(ACCEPTED, b"")
        )
        await send_json(send, body, headers=packed)


def read_features(body: Body, manifest: Manifest, bulk: BulkReader | None) -> FeatureArray:
    """The features of a request: read in bulk where that can be done, else value by value.

    Raises:
        BadRequest: where the body is no request of this dialect.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    if bulk is not None:
        features = bulk.read(body)
        if features is not None:
            return checked(features, manifest)
    return features_of_instances(read_instances(body), manifest)


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


def read_instances(body: Body) -> Any:
    """The instances of a request.

    Raises:
        BadRequest: where the body is not ``{"instances": ...}``.
    """
    request = read_json(body)
    if request.keys() != {"instances"}:
        keys = ", ".join(repr(key[:40]) for key in list(request)[:5]) or "none"
        raise BadRequest(f'Expected the one key "instances", got {keys}.')
    return request["instances"]


def write_predictions(answers: Rows, served: Served) -> bytes:
    """The answer: float32 as its shortest decimal that reads back to the same bits."""
    manifest = served.manifest
    best = best_places(answers)
    classes = manifest.classes or ()
    answer: dict[str, Any] = {"model": manifest.name, "version": manifest.version}
    if manifest.task == "classification":
        answer["classes"] = classes
        answer["predictions"] = [
            {"label": classes[i], "probabilities": row}
            for i, row in zip(best, answers[0], strict=True)
        ]
    elif manifest.task == "regression":
        answer["predictions"] = [{"prediction": row[0]} for row in answers[0]]
    else:
        outputs = {
            output.name: jsonable(rows)
            for output, rows in zip(manifest.outputs, answers, strict=False)
        }
        answer["predictions"] = _plain_rows(outputs)
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain_rows(outputs: Mapping[str, Any]) -> list[Any]:
    """One output's rows as they are; of several, an object each."""
    if len(outputs) == 1:
        return list(next(iter(outputs.values())))
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]


def jsonable(output: Any) -> Any:
    """An output in a form that orjson writes: float16 widened, what is no float as a list."""
    if output.dtype.kind != "f":
        return output.tolist()
    if output.dtype == np.float16:
        return output.astype(np.float32)
    return np.ascontiguousarray(output)
