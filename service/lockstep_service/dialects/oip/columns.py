"""One tensor per column, by which the Open Inference Protocol sends columns of several kinds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.frame import ColumnValues, Numbers, Plain, Words, encode_frame
from lockstep.artifact.manifest import Manifest
from lockstep_service.dialects.oip.schema import InputTensor
from lockstep_service.errors import BadRequest

BYTES = "BYTES"
DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
LENGTH_BYTES = 4


def are_columns(inputs: Sequence[InputTensor], manifest: Manifest) -> bool:
    """Whether a request has one tensor per column, and not the one tensor of features.

    Args:
        inputs: of the request, at least one.
        manifest: of the model.
    """
    if len(inputs) > 1:
        return True
    name = inputs[0].name
    return name != manifest.inputs[0].name and name in (column.name for column in manifest.columns)


def features_of_columns(
    inputs: Sequence[InputTensor], behind: memoryview, manifest: Manifest
) -> FeatureArray:
    """Features of tensors that have the names of columns and hold their raw values.

    Args:
        inputs: each of shape ``[n]`` or ``[n, 1]``. Categories are BYTES. Null in JSON and NaN in
            binary are missing values.
        behind: the bytes of the binary tensors, in the order of the inputs.
        manifest: of the model.

    Returns:
        float32 ``[n, d]`` for the d columns of the manifest, n ≥ 1.

    Raises:
        BadRequest: where tensors contradict each other, their shapes or the manifest.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    if not manifest.columns:
        raise BadRequest(
            f"Expected the one tensor {manifest.inputs[0].name!r} in inputs, got {len(inputs)}."
        )
    name, times = Counter(tensor.name for tensor in inputs).most_common(1)[0]
    if times > 1:
        raise BadRequest(
            f"Expected one tensor for each column in inputs, got {name[:64]!r} {times} times."
        )
    n = _rows(inputs)
    frame: dict[str, ColumnValues] = {}
    for tensor in inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            frame[tensor.name] = _plain(tensor, n)
        else:
            if type(size) is not int or not 0 <= size <= len(behind) or tensor.data is not None:
                raise BadRequest(
                    f"Expected binary_data_size of {tensor.name[:64]!r}, without data, to be at "
                    f"most the {len(behind)} bytes that are left, got {str(size)[:20]}."
                )
            frame[tensor.name] = _binary(tensor, behind[:size], n)
            behind = behind[size:]
    if len(behind):
        raise BadRequest(f"Expected no bytes behind the last tensor, got {len(behind)}.")
    return encode_frame(frame, manifest.columns)


def _rows(inputs: Sequence[InputTensor]) -> int:
    """The number of rows, which all tensors must share; checks shapes and datatypes."""
    n = inputs[0].shape[0] if inputs[0].shape else 0
    for tensor in inputs:
        if tensor.shape not in ([n], [n, 1]) or n < 1:
            raise BadRequest(
                f"Expected {tensor.name[:64]!r} to have the shape [n, 1] with the same n ≥ 1 as "
                f"every column, got {tensor.shape[:20]}."
            )
        if tensor.datatype != BYTES and tensor.datatype not in DTYPES:
            raise BadRequest(
                f"Expected {tensor.name[:64]!r} to be of datatype {BYTES}, {', '.join(DTYPES)}, "
                f"got {tensor.datatype[:20]!r}."
            )
    return n


def _plain(tensor: InputTensor, n: int) -> ColumnValues:
    """The values of a JSON tensor, nested or flat."""
    data = tensor.data
    if isinstance(data, list) and data and all(isinstance(v, list) and len(v) == 1 for v in data):
        data = [value for (value,) in data]
    if not isinstance(data, list) or len(data) != n:
        got = f"{len(data)}" if isinstance(data, list) else "no list"
        raise BadRequest(f'Expected "data" of {tensor.name[:64]!r} to be {n} values, got {got}.')
    return Plain(data)


def _binary(tensor: InputTensor, data: memoryview, n: int) -> ColumnValues:
    """The values of a binary tensor."""
    if tensor.datatype == BYTES:
        return _words(tensor.name, bytes(data), n)
    dtype: np.dtype[Any] = DTYPES[tensor.datatype]
    if len(data) != n * dtype.itemsize:
        raise BadRequest(
            f"Expected {n * dtype.itemsize} bytes of {tensor.name[:64]!r} for the shape "
            f"{tensor.shape} of {tensor.datatype}, got {len(data)}."
        )
    if dtype.kind == "b":  # every byte other than 0 is true
        return Numbers(np.frombuffer(data, np.uint8) != 0)
    return Numbers(np.frombuffer(data, dtype))


def _words(name: str, data: bytes, n: int) -> ColumnValues:
    """The values of a tensor of strings, each after its length in ``LENGTH_BYTES`` bytes."""
    index: dict[bytes, int] = {}
    places = []
    at = 0
    for _ in range(min(n, len(data) // LENGTH_BYTES + 1)):
        start = at + LENGTH_BYTES
        length = int.from_bytes(data[at:start], "little") if start <= len(data) else math.inf
        if start + length > len(data):
            break
        at = start + int(length)
        places.append(index.setdefault(data[start:at], len(index)))
    if len(places) != n or at != len(data):
        raise BadRequest(
            f"Expected {n} strings of {name[:64]!r}, each with its length in {LENGTH_BYTES} bytes "
            f"before it, to fill its {len(data)} bytes; they do not."
        )
    try:
        words = [word.decode() for word in index]
    except UnicodeDecodeError as error:
        raise BadRequest(f"Expected strings of {name[:64]!r} in UTF-8, got others.") from error
    return Words(words, np.array(places, np.int64))
