"""Every way to send the same rows: which path, which headers, which bytes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI

from lockstep_service.forms.arrow.table import ARROW_TYPE
from lockstep_service.forms.arrow.writer import write_stream
from lockstep_service.forms.npy import NPY_TYPE
from serving import ask

LENGTH = "inference-header-content-length"
NPY, ARROW = NPY_TYPE.decode(), ARROW_TYPE.decode()

Row = Sequence[Any]
Written = tuple[bytes, dict[str, str]]


@dataclass(frozen=True)
class Dialect:
    """One way to send rows.

    Attributes:
        name: of the dialect.
        path: of a model.
        coded: whether a category travels as its code, and all rows as one tensor.
        write: body and headers of rows, in the order of the columns of those names.
    """

    name: str
    path: str
    coded: bool
    write: Callable[[Sequence[Row], Sequence[str]], Written]

    def send(
        self, app: FastAPI, model: str, rows: Sequence[Row], names: Sequence[str], **headers: str
    ) -> httpx.Response:
        """One request; a row may be wrong, or of another width than the names."""
        body, own = self.write(rows, names)
        return self.send_body(app, model, body, **own, **headers)

    def send_body(self, app: FastAPI, model: str, body: bytes, **headers: str) -> httpx.Response:
        """One request of these bytes; headers with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(app, "POST", self.path.format(model), content=body, headers=named)


def _json(body: Any) -> Written:
    return json.dumps(body).encode(), {"content_type": "application/json"}


def _lists(rows: Sequence[Row], names: Sequence[str]) -> Written:
    del names
    return _json({"instances": [list(row) for row in rows]})


def _objects(rows: Sequence[Row], names: Sequence[str]) -> Written:
    keys = [*names, *(f"more{i}" for i in range(_width(rows, names) - len(names)))]
    return _json({"instances": [dict(zip(keys, row, strict=False)) for row in rows]})


def _width(rows: Sequence[Row], names: Sequence[str]) -> int:
    return len(rows[0]) if rows else len(names)


def _tensor(rows: Sequence[Row], names: Sequence[str]) -> Written:
    shape = [len(rows), _width(rows, names)]
    data = [list(row) for row in rows]
    tensor = {"name": "features", "shape": shape, "datatype": "FP32", "data": data}
    return _json({"inputs": [tensor]})


def _array(rows: Sequence[Row], names: Sequence[str], dtype: str) -> np.ndarray:
    """The rows as one array; strings where one of them holds a string."""
    array = np.array([[math.nan if v is None else v for v in row] for row in rows])
    with np.errstate(over="ignore"):
        return array.astype(dtype if array.dtype.kind in "fiu" else "S").reshape(
            len(rows), _width(rows, names)
        )


def _binary(header: dict[str, Any], behind: bytes) -> Written:
    data = json.dumps(header).encode()
    return data + behind, {LENGTH.replace("-", "_"): str(len(data))}


def _tensor_bytes(rows: Sequence[Row], names: Sequence[str]) -> Written:
    array = _array(rows, names, "<f4")
    tensor = {
        "name": "features",
        "shape": list(array.shape),
        "datatype": "FP32" if array.dtype.kind == "f" else "BYTES",
        "parameters": {"binary_data_size": array.nbytes},
    }
    return _binary({"inputs": [tensor]}, array.tobytes())


def columns_of(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Any]]:
    """The rows' values by column; where a row is too long, an unknown column more."""
    width = _width(rows, names)
    known = [*names[:width], *(f"more{i}" for i in range(width - len(names)))]
    return {name: [row[j] for row in rows] for j, name in enumerate(known)}


def _is_text(values: Sequence[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _columns(rows: Sequence[Row], names: Sequence[str]) -> Written:
    inputs = [
        {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": "BYTES" if _is_text(values) else "FP64",
            "data": values,
        }
        for name, values in columns_of(rows, names).items()
    ]
    return _json({"inputs": inputs})


def _column_bytes(rows: Sequence[Row], names: Sequence[str]) -> Written:
    inputs, behind = [], b""
    for name, values in columns_of(rows, names).items():
        if _is_text(values):
            words = [str(value).encode() for value in values]
            data = b"".join(len(word).to_bytes(4, "little") + word for word in words)
        else:
            data = _array([[value] for value in values], ["one"], "<f8").tobytes()
        tensor = {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": "BYTES" if _is_text(values) else "FP64",
            "parameters": {"binary_data_size": len(data)},
        }
        inputs.append(tensor)
        behind += data
    return _binary({"inputs": inputs}, behind)


def _npy(rows: Sequence[Row], names: Sequence[str]) -> Written:
    return npy_bytes(_array(rows, names, "<f8")), {"content_type": NPY}


def _arrow(rows: Sequence[Row], names: Sequence[str]) -> Written:
    columns = {
        name: np.array([str(v) for v in values], dtype=object)
        if _is_text(values)
        else _array([[v] for v in values], ["one"], "<f8").reshape(-1)
        for name, values in columns_of(rows, names).items()
    }
    return write_stream(list(columns), list(columns.values())), {"content_type": ARROW}


def npy_bytes(array: np.ndarray, **options: Any) -> bytes:
    """What ``numpy.save`` writes."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


PLAIN, INFER = "/models/{}/predict", "/v2/models/{}/infer"
LISTS = Dialect("JSON lists", PLAIN, False, _lists)
OBJECTS = Dialect("JSON objects", PLAIN, False, _objects)
TENSOR = Dialect("OIP JSON", INFER, True, _tensor)
TENSOR_BYTES = Dialect("OIP binary", INFER, True, _tensor_bytes)
COLUMNS = Dialect("OIP columns, JSON", INFER, False, _columns)
COLUMN_BYTES = Dialect("OIP columns, binary", INFER, False, _column_bytes)
ARRAY = Dialect("npy", PLAIN, True, _npy)
STREAM = Dialect("Arrow", PLAIN, False, _arrow)
DIALECTS = (LISTS, OBJECTS, TENSOR, TENSOR_BYTES, COLUMNS, COLUMN_BYTES, ARRAY, STREAM)
