"""The .npy form of the plain dialect: one array per body (``application/x-npy``)."""

from __future__ import annotations

import ast
import io
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import Manifest
from lockstep.engine.engine import Outputs
from lockstep_service.batching.answers import best_places
from lockstep_service.errors import BadRequest
from lockstep_service.forms.tensors import checked
from lockstep_service.http.responses import Body

NPY_TYPE = b"application/x-npy"
# By version: the size of the header's length in bytes, and the function that reads the length and
# the header. Version 3 differs only in the names of fields, which an array of numbers does not
# have.
VERSIONS = {
    b"\x01\x00": (2, npy_format.read_array_header_1_0),
    b"\x02\x00": (4, npy_format.read_array_header_2_0),
}
LENGTH_AT = len(npy_format.MAGIC_PREFIX) + 2
# numpy writes headers of 118 bytes. A header is parsed as a Python literal, at a cost that grows
# with its length.
MOST_HEADER_BYTES = 512
KEPT_HEADERS = 256


class Header(NamedTuple):
    """The header of an .npy array.

    Attributes:
        shape: of the array.
        fortran_order: whether the values are in column-major order.
        dtype: of the values.
    """

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]


def read_array(body: Body, manifest: Manifest) -> FeatureArray:
    """Features of a body that is one .npy array.

    Args:
        body: an array ``[n, ...]`` of real numbers of at most 64 bits, or one instance without the
            first axis. NaN is missing; a categorical column holds codes.
        manifest: of the model.

    Returns:
        float32 ``[n, ...]``, n ≥ 1.

    Raises:
        BadRequest: where the body is not such an array, or has another shape, type or length.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    header, start = _read_header(body)
    shape = _rows_shape(header.shape, manifest)
    if header.dtype.kind not in "fiu" or header.dtype.itemsize > 8:
        raise BadRequest(
            f"Expected an array of real numbers of at most 64 bits, got the type "
            f"{str(header.dtype)[:40]!r}; send float32."
        )
    length = header.dtype.itemsize * math.prod(shape)
    if len(body) - start != length:
        raise BadRequest(
            f"Expected {length} bytes behind the header of an array of {header.dtype} of shape "
            f"{list(header.shape)}, got {len(body) - start}."
        )
    flat = np.frombuffer(body, header.dtype, offset=start)
    values = flat.reshape(shape, order="F" if header.fortran_order else "C")
    if values.dtype.kind != "f" and values.itemsize == 8:
        values = values.astype(np.float64)  # rounded twice, as JSON rounds the same numbers
    with np.errstate(over="ignore"):  # too large for float32: becomes infinite, which is refused
        features = values.astype(np.float32, order="C", copy=False)
    return checked(features, manifest)


def _read_header(body: Body) -> tuple[Header, int]:
    """The header, and the index of the first byte after it."""
    magic = bytes(body[: LENGTH_AT - 2])
    size, _ = VERSIONS.get(bytes(body[LENGTH_AT - 2 : LENGTH_AT]), (0, None))
    if magic != npy_format.MAGIC_PREFIX or not size:
        raise BadRequest(
            "Expected one .npy array of format 1.0 or 2.0, got other bytes; send what is saved as "
            "one array, without pickling."
        )
    start = LENGTH_AT + size
    length = int.from_bytes(body[LENGTH_AT:start], "little")
    if length > MOST_HEADER_BYTES or start + length > len(body):
        raise BadRequest(
            f"Expected an .npy header of at most {MOST_HEADER_BYTES} bytes and within the body, "
            f"got one of {length} in {len(body)}."
        )
    start += length
    return _parse_header(bytes(body[:start])), start


@lru_cache(maxsize=KEPT_HEADERS)
def _parse_header(prefix: bytes) -> Header:
    """Parse the bytes before an array's values; cached, because a client repeats its headers."""
    size, read = VERSIONS[prefix[LENGTH_AT - 2 : LENGTH_AT]]
    stream = io.BytesIO(prefix)
    stream.seek(LENGTH_AT)
    try:
        # Refuses what is not a literal. numpy would try to repair it as if Python 2 had written it.
        ast.literal_eval(prefix[LENGTH_AT + size :].decode("latin-1"))
        return Header(*read(stream, max_header_size=MOST_HEADER_BYTES))
    # The errors of literal_eval and of numpy's readers for bytes that are not a header.
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise BadRequest(
            "Expected an .npy header with a type, an order and a shape, got one that cannot be "
            "read; save the array again."
        ) from error


def _rows_shape(shape: Sequence[int], manifest: Manifest) -> tuple[int, ...]:
    """The shape with its axis of rows, which one instance may omit."""
    wanted = manifest.instance_shape
    rows = (1, *wanted) if tuple(shape) == wanted else tuple(shape)
    if rows[1:] != wanted or len(rows) != len(wanted) + 1 or rows[0] < 1:
        expected = ", ".join(["n", *map(str, wanted)])
        raise BadRequest(
            f"Expected an array of shape [{expected}] with n ≥ 1, or {list(wanted)} for one "
            f"instance, got {list(shape)[:20]}."
        )
    return rows


def check_writable(manifest: Manifest) -> None:
    """Refuse a network whose answers are not one array of numbers.

    Raises:
        BadRequest: where the network has several outputs, or one of strings.
    """
    outputs = manifest.outputs
    if len(outputs) != 1 or outputs[0].datatype == "BYTES":
        listed = ", ".join(f"{output.name} ({output.datatype})" for output in outputs)
        raise BadRequest(
            f"One array of numbers cannot hold what {manifest.name} answers: {listed[:200]}; "
            f"accept application/json."
        )


def write_array(manifest: Manifest, answers: Outputs) -> bytes:
    """The network's only output as an .npy array ``[n, ...]``, little-endian.

    Args:
        manifest: of the model; the array needs nothing of it.
        answers: the outputs of a judged run.

    Raises:
        InvalidInstances: naming the instances whose values overflow the network.
    """
    del manifest
    best_places(answers)  # refuses answers that are not finite
    output = np.ascontiguousarray(answers[0])
    output = output.astype(output.dtype.newbyteorder("<"), copy=False)
    stream = io.BytesIO()
    npy_format.write_array(stream, output, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
