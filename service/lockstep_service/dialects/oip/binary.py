"""The binary tensor extension of the Open Inference Protocol.

A body is a JSON header followed by the bytes of the tensors. The HTTP header
``Inference-Header-Content-Length`` gives the length of the JSON header in bytes. The tensors are
little-endian and row-major, in the order of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import Manifest
from lockstep_service.errors import BadRequest
from lockstep_service.forms.tensors import check_shape, checked
from lockstep_service.http.responses import Body

HEADER_LENGTH = b"inference-header-content-length"
OCTETS = (b"content-type", b"application/octet-stream")
FLOAT32 = np.dtype("<f4")


def split(body: Body, length: bytes) -> tuple[bytes, memoryview]:
    """Split a body into its JSON header and the bytes of the tensors.

    Args:
        body: complete and decompressed.
        length: the value of ``Inference-Header-Content-Length``.

    Raises:
        BadRequest: where the length is not a number, or is longer than the body.
    """
    if not length.isdigit() or len(length) > 18 or int(length) > len(body):
        raise BadRequest(
            f"Expected Inference-Header-Content-Length to be a number of bytes up to the body's "
            f"{len(body)}, got {length.decode('latin-1')[:20]!r}."
        )
    n = int(length)
    return bytes(body[:n]), memoryview(body)[n:]


def read_raw(data: Body, manifest: Manifest) -> FeatureArray:
    """Features of a raw request, whose body is the bytes of the only input.

    Args:
        data: float32 rows, little-endian.
        manifest: of the model.

    Raises:
        BadRequest: where the bytes are not a whole number of rows, at least one.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    shape = manifest.instance_shape
    row_bytes = FLOAT32.itemsize * math.prod(shape)
    if not len(data) or len(data) % row_bytes:
        raise BadRequest(
            f"Expected a whole number of rows of {row_bytes} bytes ({math.prod(shape)} float32), "
            f"got {len(data)} bytes."
        )
    return _features(data, (len(data) // row_bytes, *shape), manifest)


def read_tensor(
    data: memoryview, size: Any, shape: Sequence[int], manifest: Manifest
) -> FeatureArray:
    """Features of an input whose bytes follow the JSON header.

    Args:
        data: the bytes after the header.
        size: the input's ``binary_data_size``.
        shape: as the request states it; it must be the manifest's.
        manifest: of the model.

    Raises:
        BadRequest: where size, shape and bytes contradict each other or the manifest.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    check_shape(shape, manifest)
    wanted = FLOAT32.itemsize * math.prod(shape)
    if type(size) is not int or size != wanted or len(data) != wanted:
        raise BadRequest(
            f"Expected binary_data_size and the bytes behind the header to be {wanted} for the "
            f"shape {list(shape)}, got {str(size)[:20]} and {len(data)} bytes."
        )
    return _features(data, shape, manifest)


def _features(data: Body | memoryview, shape: Sequence[int], manifest: Manifest) -> FeatureArray:
    # A read-only view of the body, which the engine accepts; a copy on a big-endian machine.
    features = np.frombuffer(data, FLOAT32).astype(np.float32, copy=False).reshape(shape)
    return checked(features, manifest)


def to_bytes(output: NDArray[Any]) -> bytes:
    """The bytes of an output, little-endian and row-major.

    A string is its length in 4 bytes, followed by its UTF-8.

    Args:
        output: ``[n, ...]``.
    """
    if output.dtype.kind not in "OU":
        return output.astype(output.dtype.newbyteorder("<"), copy=False).tobytes()
    words = [str(word).encode() for word in output.reshape(-1)]
    return b"".join(len(word).to_bytes(4, "little") + word for word in words)
