"""The strings of an Arrow column, stored with offsets of 32 or 64 bits, or as views."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep_service.forms.arrow.schema import Layout

VIEW = struct.Struct("<iiii")
INLINE_BYTES = 12
SHOWN_BYTES = 64


class Strings(ABC):
    """Strings that are read on demand, because a dictionary may hold many that no row uses.

    Args:
        longest: bytes of the longest category. Of a longer string at most
            ``max(longest, SHOWN_BYTES) + 1`` are read, because many views may share the same bytes.
    """

    def __init__(self, longest: int) -> None:
        self._most = max(longest, SHOWN_BYTES) + 1

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _raw(self, places: NDArray[np.int64]) -> Iterator[bytes]:
        """The bytes of the strings at the given indices, each cut if it is too long."""

    def take(self, places: NDArray[np.int64]) -> list[str]:
        """The strings at the given indices, in their order.

        Args:
            places: indices, ``[k]``.

        Raises:
            ValueError: where a string is not UTF-8.
        """
        return [self._decoded(word) for word in self._raw(places)]

    def distinct(self) -> tuple[list[str], NDArray[np.int64]]:
        """The distinct strings, and for each string its index among them, ``[n]``.

        Raises:
            ValueError: where a string is not UTF-8.
        """
        index: dict[bytes, int] = {}
        n = len(self)
        places = (index.setdefault(word, len(index)) for word in self._raw(np.arange(n)))
        found = np.fromiter(places, np.int64, n)
        return [self._decoded(word) for word in index], found

    def _decoded(self, word: bytes) -> str:
        if len(word) < self._most:
            return word.decode()
        # Longer than every category, so it equals none.
        return f"{word[:SHOWN_BYTES].decode(errors='ignore')}…".ljust(self._most)


class _Spans(Strings):
    """Strings with offsets: each ends where the next begins."""

    def __init__(self, offsets: NDArray[Any], data: memoryview, longest: int) -> None:
        super().__init__(longest)
        if offsets[0] < 0 or offsets[-1] > len(data) or (offsets[1:] < offsets[:-1]).any():
            raise ValueError("offsets of strings that are out of order")
        self._offsets = offsets.astype(np.int64)
        self._data = bytes(data)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def _raw(self, places: NDArray[np.int64]) -> Iterator[bytes]:
        starts = self._offsets[places]
        ends = np.minimum(self._offsets[places + 1], starts + self._most)
        data = self._data
        return (data[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True))


class _Views(Strings):
    """Strings as views: length, buffer and offset; a short string is inside its view."""

    def __init__(self, n: int, views: memoryview, data: Sequence[memoryview], longest: int) -> None:
        super().__init__(longest)
        if n * VIEW.size > len(views):
            raise ValueError("fewer views than strings")
        self._n = n
        self._views = bytes(views)
        self._data = data

    def __len__(self) -> int:
        return self._n

    def _raw(self, places: NDArray[np.int64]) -> Iterator[bytes]:
        return (self._one(at) for at in (places * VIEW.size).tolist())

    def _one(self, at: int) -> bytes:
        length, _, buffer, offset = VIEW.unpack_from(self._views, at)
        if 0 <= length <= INLINE_BYTES:
            return self._views[at + 4 : at + 4 + length]
        if length < 0 or buffer < 0 or offset < 0 or offset + length > len(self._data[buffer]):
            raise ValueError("a string beyond its buffer")
        return bytes(self._data[buffer][offset : offset + min(length, self._most)])


def strings_of(
    layout: Layout, n: int, places: memoryview, data: Sequence[memoryview], longest: int
) -> Strings:
    """The strings of a column's buffers.

    Args:
        layout: strings, large strings or views.
        n: number of strings.
        places: the buffer of offsets or views.
        data: the buffers of bytes.
        longest: bytes of the longest category.

    Raises:
        ValueError: where the buffers are too short, or the offsets are out of order.
    """
    if layout is Layout.VIEWS:
        return _Views(n, places, data, longest)
    if not n:
        return _Spans(np.zeros(1, np.int64), memoryview(b""), longest)
    offsets = np.frombuffer(places, "<i4" if layout is Layout.STRINGS else "<i8", n + 1)
    return _Spans(offsets, data[0], longest)
