"""The .npy form of the plain dialect: one array in, one array out (``application/x-npy``)."""

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
# A version, the size of the length that follows it, and what reads both and the header. Version 3
# differs only in the names of fields, which an array of numbers does not have.
VERSIONS = {
    b"\x01\x00": (2, npy_format.read_array_header_1_0),
    b"\x02\x00": (4, npy_format.read_array_header_2_0),
}
LENGTH_AT = len(npy_format.MAGIC_PREFIX) + 2
# numpy's own have 118 bytes. They are read as a Python literal, which costs more the longer it is.
MOST_HEADER_BYTES = 512
KEPT_HEADERS = 256


class Header(NamedTuple):
    """What stands before an array's bytes."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]


def read_array(body: Body, manifest: Manifest) -> FeatureArray:
    """Features of a body that is one .npy array.

    Args:
        body: the whole of it: ``[n, ...]``, or one instance without the first axis, of a real type.
            NaN is missing; a categorical column holds codes.
        manifest: of the model.

    Raises:
        BadRequest: where it is no such array, or has another shape, type or length.
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
        values = values.astype(np.float64)  # rounded twice, as the same numbers in JSON are
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
        features = values.astype(np.float32, order="C", copy=False)
    return checked(features, manifest)


def _read_header(body: Body) -> tuple[Header, int]:
    """The header, and where the bytes behind it begin."""
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
    """The header of the bytes before an array; a client sends the same ones again and again."""
    size, read = VERSIONS[prefix[LENGTH_AT - 2 : LENGTH_AT]]
    stream = io.BytesIO(prefix)
    stream.seek(LENGTH_AT)
    try:
        # What is no literal numpy would try to mend, as if Python 2 had written it.
        ast.literal_eval(prefix[LENGTH_AT + size :].decode("latin-1"))
        return Header(*read(stream, max_header_size=MOST_HEADER_BYTES))
    # What literal_eval and numpy's readers raise for bytes that are no header.
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise BadRequest(
            "Expected an .npy header with a type, an order and a shape, got one that cannot be "
            "read; save the array again."
        ) from error


def _rows_shape(shape: Sequence[int], manifest: Manifest) -> tuple[int, ...]:
    """The shape with its axis of rows, which a single instance may leave out."""
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
    """Refuse to answer with an array what is several, or strings.

    Raises:
        BadRequest: for such a network.
    """
    outputs = manifest.outputs
    if len(outputs) != 1 or outputs[0].datatype == "BYTES":
        listed = ", ".join(f"{output.name} ({output.datatype})" for output in outputs)
        raise BadRequest(
            f"One array of numbers cannot hold what {manifest.name} answers: {listed[:200]}; "
            f"accept application/json."
        )


def write_array(manifest: Manifest, answers: Outputs) -> bytes:
    """The network's one output as an .npy array ``[n, ...]``, little-endian.

    Raises:
        InvalidInstances: naming the instances whose values overflow the network.
    """
    del manifest
    best_places(answers)  # refuses what is no number
    output = np.ascontiguousarray(answers[0])
    output = output.astype(output.dtype.newbyteorder("<"), copy=False)
    stream = io.BytesIO()
    npy_format.write_array(stream, output, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
