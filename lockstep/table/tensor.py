"""Tensors to be scored: .npy files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.encoding import check_features, check_finite
from lockstep.artifact.manifest import Manifest
from lockstep.engine.tile import pieces
from lockstep.errors import InvalidInstances, Unreadable
from lockstep.table.chunk import CHUNK_ROWS, located

TENSOR = ".npy"


def read_tensor(path: Path, manifest: Manifest) -> Iterator[FeatureArray]:
    """Read an .npy tensor ``[n, ...]`` of features, a few rows at a time.

    A category is given by its code.

    Raises:
        Unreadable: naming the row that holds a value that the network does not take; or where the
            file is no such tensor.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise Unreadable(f"{path} cannot be read as an .npy tensor: {error}.") from error
    shape = manifest.instance_shape
    fits = isinstance(array, np.ndarray) and array.shape[1:] == shape and array.ndim > 0
    if not fits or len(array) == 0 or array.dtype.kind not in "fiu":
        expected = ", ".join(map(str, ("rows", *shape)))
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an .npz"
        raise Unreadable(f"{path} must hold numbers of shape [{expected}], got {found}.")
    first = 1
    for piece in pieces(array, CHUNK_ROWS):
        with np.errstate(over="ignore"):  # values beyond float32 are refused as infinite
            features = np.ascontiguousarray(piece, np.float32)
        try:
            if manifest.columns:
                check_features(features, manifest.columns)
            else:
                check_finite(features)
        except InvalidInstances as error:
            places = range(first, first + len(features))
            raise located(path, "row", places, error) from error
        yield features
        first += len(features)
