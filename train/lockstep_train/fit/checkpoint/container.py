"""A container: tensors, numbers, words and their collections as bytes, and back to the bit.

Tensors are arrays of an NPZ file, all else is JSON beside them: nothing in it can run when it is
read, as a pickle can.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lockstep.errors import Unreadable

_DOCUMENT = "document"
_TENSOR, _TABLE, _TUPLE = "tensor", "table", "tuple"


def to_bytes(value: object) -> bytes:
    """Write tensors, None, booleans, numbers, words, and lists, tuples and dicts of these.

    Raises:
        TypeError: something else is among them.
    """
    arrays: dict[str, NDArray[Any]] = {}
    document = json.dumps(_packed(value, arrays)).encode()
    buffer = io.BytesIO()
    np.savez(buffer, **{_DOCUMENT: np.frombuffer(document, np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(data: bytes) -> Any:
    """Read what `to_bytes` wrote.

    Raises:
        Unreadable: it was not written by `to_bytes`.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return _unpacked(json.loads(arrays[_DOCUMENT].tobytes()), arrays)
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise Unreadable(f"Expected a container of tensors, numbers and words: {error}.") from error


def _packed(value: object, arrays: dict[str, NDArray[Any]]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        name = f"{_TENSOR} {len(arrays)}"
        arrays[name] = value.detach().cpu().numpy()
        return {_TENSOR: name}
    if isinstance(value, list):
        return [_packed(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {_TUPLE: [_packed(item, arrays) for item in value]}
    if isinstance(value, dict):  # as pairs: an optimiser's state has numbers for keys
        return {_TABLE: [[key, _packed(item, arrays)] for key, item in value.items()]}
    raise TypeError(f"A container must hold tensors, numbers and words, got {type(value)}.")


def _unpacked(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == _TENSOR:
        return torch.from_numpy(arrays[content])
    if kind == _TUPLE:
        return tuple(_unpacked(item, arrays) for item in content)
    return {key: _unpacked(item, arrays) for key, item in content}
