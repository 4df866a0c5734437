"""A frame: the raw values of many instances by column, encoded without a Python step per value.

Values that a column's type alone does not decide go row by row to
:func:`lockstep.artifact.encoding.encode`. So a frame gets the same bits as its rows in any other
form, and the error messages have one place.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import Column, FeatureArray
from lockstep.artifact.encoding import check_features, encode
from lockstep.errors import InvalidInstances

Mask = NDArray[np.bool_]
PLAIN_NUMBERS = frozenset({int, float, type(None)})
NO_CODE = -1.0


class ColumnValues(Protocol):
    """The raw values of one column, ``n`` of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Any:
        """The value as JSON would hold it; None is missing."""

    def encode_into(self, out: FeatureArray, column: Column) -> Mask | None:
        """Encode the values that the type decides.

        Args:
            out: float32 ``[n]``, to be filled; NaN where a value is missing.
            column: the kind of values that is expected.

        Returns:
            bool ``[n]``: the rows whose value is left to :func:`encode`; None if there are none.
        """


@dataclass(frozen=True)
class Numbers:
    """Values of one numeric or boolean type.

    Attributes:
        values: ``[n]``, of a real or the boolean type.
        missing: bool ``[n]``; None if no value is missing.
    """

    values: NDArray[Any]
    missing: Mask | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Any:
        """The value as JSON would hold it."""
        if self.missing is not None and self.missing[row]:
            return None
        return self.values[row].item()

    def encode_into(self, out: FeatureArray, column: Column) -> Mask | None:
        """Cast the values; those beyond float32 become infinite."""
        left = self._encode_present(out, column)
        if self.missing is not None:
            out[self.missing] = np.nan
            if left is not None:
                left &= ~self.missing
        return left

    def _encode_present(self, out: FeatureArray, column: Column) -> Mask | None:
        values, kind = self.values, self.values.dtype.kind
        if column.kind == "categorical":
            distinct, places = np.unique(values, return_inverse=True)
            known = [_code(_spelled(value), column) for value in distinct.tolist()]
            return _encode_known(known, places, out)
        # 64-bit integers are rounded twice, to float64 and float32, like those of a JSON body.
        wide = kind in "iu" and values.itemsize == 8
        out[:] = values.astype(np.float64) if wide else values
        if column.kind == "numeric":
            return np.ones(len(out), np.bool_) if kind == "b" else None
        return None if kind == "b" else (values != 0) & (values != 1)


@dataclass(frozen=True)
class Words:
    """Values that are strings.

    Attributes:
        words: the distinct strings; some may not occur.
        places: int64 ``[n]``, the index of each row's word in ``words``; −1 if it is missing.
    """

    words: Sequence[str]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> Any:
        """The value as JSON would hold it."""
        place = int(self.places[row])
        return None if place < 0 else self.words[place]

    def encode_into(self, out: FeatureArray, column: Column) -> Mask | None:
        """Look up the code of each word once, and give it to the word's rows."""
        if column.kind != "categorical":
            out.fill(np.nan)
            return self.places >= 0
        return _encode_known([_code(word, column) for word in self.words], self.places, out)


def _encode_known(known: Sequence[float], places: NDArray[np.int64], out: FeatureArray) -> Mask:
    """Give each row the code of its place; the rows without a code are returned."""
    # The place −1 of a missing value indexes the last entry, NaN.
    out[:] = np.array([*known, np.nan], np.float32)[places]
    left: Mask = out == NO_CODE
    return left


def _code(word: str | None, column: Column) -> float:
    """The code of a word that is in the vocabulary verbatim."""
    if word is None or word.strip() in column.missing_words:
        return NO_CODE
    return column.codes.get(word, NO_CODE)


def _spelled(value: float) -> str | None:
    """The category that a number may stand for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if math.isfinite(value) and value == int(value) else None


@dataclass(frozen=True)
class Plain:
    """Values as JSON holds them, of any type.

    Attributes:
        values: ``n`` of them.
    """

    values: Sequence[Any]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Any:
        """The value."""
        return self.values[row]

    def encode_into(self, out: FeatureArray, column: Column) -> Mask | None:
        """Encode all values at once if all are numbers; else leave them."""
        types = set(map(type, self.values))
        out.fill(np.nan)
        if column.kind == "numeric" and types <= PLAIN_NUMBERS:
            try:
                numbers = np.array(self.values, np.float64)  # None becomes NaN
            except OverflowError:  # an integer beyond float64: `encode` reports it
                return np.ones(len(out), np.bool_)
            return Numbers(numbers).encode_into(out, column)
        return np.ones(len(out), np.bool_)


def encode_frame(frame: Mapping[str, ColumnValues], columns: Sequence[Column]) -> FeatureArray:
    """Turn the raw values of a frame into the features that the network sees.

    Args:
        frame: the values of each column by its name, in any order, each of length ``n``.
        columns: the ``d`` columns.

    Returns:
        float32 ``[n, d]``, finite except for NaN where a value is missing: the same bits as
        ``encode`` gives for the same values row by row.

    Raises:
        InvalidInstances: naming each instance and column that is wrong.
    """
    check_names(frame, columns)
    n = len(frame[columns[0].name])
    if not n:
        return encode([], columns)  # raises the error for an empty request
    by_column = np.empty((len(columns), n), np.float32)
    masks = []
    with np.errstate(over="ignore"):  # values beyond float32 are refused below as infinite
        for out, column in zip(by_column, columns, strict=True):
            masks.append(frame[column.name].encode_into(out, column))
    features = np.ascontiguousarray(by_column.T)
    left = [mask for mask in masks if mask is not None]
    if left:
        rows = np.flatnonzero(np.logical_or.reduce(left))
        if len(rows):
            features[rows] = _encode_rows(_FrameRows(frame, rows), rows, columns)
    check_features(features, columns)
    return features


def check_names(names: Collection[str], columns: Sequence[Column]) -> None:
    """Refuse a frame that lacks a column or has an unknown one.

    Raises:
        InvalidInstances: with the same message as for an object with these keys.
    """
    if set(names) != {column.name for column in columns}:
        encode([dict.fromkeys(names)], columns)


class _FrameRows(Sequence[dict[str, Any]]):
    """Some rows of a frame as objects, each made on access."""

    def __init__(self, frame: Mapping[str, ColumnValues], rows: NDArray[np.int64]) -> None:
        self._frame = frame
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Sequence[dict[str, Any]]:
        if isinstance(index, slice):
            return _FrameRows(self._frame, self._rows[index])
        row = int(self._rows[index])
        return {name: values[row] for name, values in self._frame.items()}


def _encode_rows(
    instances: Sequence[dict[str, Any]], rows: NDArray[np.int64], columns: Sequence[Column]
) -> FeatureArray:
    try:
        return encode(instances, columns)
    except InvalidInstances as error:
        raise InvalidInstances(
            [replace(problem, instance=int(rows[problem.instance])) for problem in error.problems]
        ) from error
