"""Folders of IDX files: the format of MNIST and its kin (LeCun, Cortes and Burges 1998)."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.data.sources.arrays import table_of_arrays
from lockstep_train.data.table import Table

TARGET = "label"
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_TEST_WORDS = ("t10k", "test")
_ADVICE = "a folder holds train-images, train-labels, t10k-images and t10k-labels, gzipped or not"


def read_idx(path: Path) -> NDArray[Any]:
    """Read one IDX file, gzipped or not, as the array that it holds.

    Raises:
        Unreadable: the file is not IDX, or cut short.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path} cannot be read: {error}.") from error
    known = len(content) >= 4 and content[:2] == b"\0\0" and content[2] in _TYPES
    header = 4 + 4 * content[3] if known else 0
    if not known or len(content) < header:
        raise Unreadable(
            f"{path}: expected an IDX file (two zero bytes, a type, a number of dimensions), got "
            f"{content[:4].hex(' ') or 'nothing'}; {_ADVICE}."
        )
    shape = tuple(np.frombuffer(content, ">u4", content[3], 4).tolist())
    kind = np.dtype(_TYPES[content[2]])
    if len(content) - header != math.prod(shape) * kind.itemsize:
        raise Unreadable(
            f"{path}: expected {math.prod(shape) * kind.itemsize} bytes for the shape "
            f"{list(shape)}, got {len(content) - header}; fetch the file again."
        )
    values: NDArray[Any] = np.frombuffer(content, kind, offset=header).reshape(shape)
    return values.astype(kind.newbyteorder("="))


def read_idx_folder(folder: Path) -> Table:
    """Read images and labels, with the official test split where it is there.

    Raises:
        Unreadable: a file is missing, twice there or no IDX file, or images and labels differ in
            number.
    """
    table = _part(folder, "train", ("train",))
    if any(word in path.name for word in _TEST_WORDS for path in folder.iterdir()):
        table = table.followed_by(_part(folder, "test", _TEST_WORDS), table.frame.columns)
    return replace(table, name=str(folder))


def _part(folder: Path, part: str, words: tuple[str, ...]) -> Table:
    images, labels = (_find(folder, words, kind) for kind in ("images", "labels"))
    features, targets = read_idx(images), read_idx(labels)
    if targets.shape != features.shape[:1]:
        raise Unreadable(
            f"{labels}: expected a label for each of the {len(features)} images of {images.name}, "
            f"got the shape {list(targets.shape)}."
        )
    try:
        return table_of_arrays(
            features, targets, name=f"{folder} ({part})", target=TARGET, task="classification"
        )
    except InvalidSetting as error:
        raise Unreadable(str(error)) from error


def _find(folder: Path, words: tuple[str, ...], kind: str) -> Path:
    found = sorted(
        path
        for path in folder.iterdir()
        if kind in path.name and any(word in path.name for word in words) and path.is_file()
    )
    if len(found) != 1:
        came = ", ".join(path.name for path in found) or "none"
        raise Unreadable(
            f"{folder}: expected one file of {words[0]}-{kind}, got {came}; {_ADVICE}."
        )
    return found[0]
