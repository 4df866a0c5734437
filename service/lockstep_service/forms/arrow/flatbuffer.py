"""A reader of FlatBuffers tables, in which Arrow's messages are described.

Every read is checked against the bounds of the buffer. FlatBuffers' own Python runtime does the
same and takes five times as long. The cost arises for each column of a stream.
"""

from __future__ import annotations

import struct

BOOL = struct.Struct("<?")
BYTE = struct.Struct("<B")
SHORT = struct.Struct("<h")
INT = struct.Struct("<i")
LONG = struct.Struct("<q")
_SIZE = struct.Struct("<H")
_OFFSET = struct.Struct("<I")


class FlatTable:
    """A table: fields by number, each of which may be absent.

    A read beyond the buffer raises ValueError or struct.error.

    Args:
        data: the whole buffer.
        at: index of the table's first byte.
    """

    __slots__ = ("_at", "_offsets", "data")

    def __init__(self, data: bytes, at: int) -> None:
        fields = at - INT.unpack_from(data, at)[0]
        if at < 0 or fields < 0:
            raise ValueError("a table before the first byte")
        count = max(0, _SIZE.unpack_from(data, fields)[0] // 2 - 2)
        self.data = data
        self._at = at
        self._offsets: tuple[int, ...] = struct.unpack_from(f"<{count}H", data, fields + 4)

    @classmethod
    def root(cls, data: bytes) -> FlatTable:
        """The root table of a buffer."""
        return cls(data, _OFFSET.unpack_from(data)[0])

    def has(self, number: int) -> bool:
        """Whether a field is present."""
        return number < len(self._offsets) and self._offsets[number] != 0

    def number(self, number: int, form: struct.Struct) -> int:
        """A field that is a number; 0 if it is absent.

        Args:
            number: of the field.
            form: the number's binary format.
        """
        if number >= len(self._offsets) or not self._offsets[number]:
            return 0
        value: int = form.unpack_from(self.data, self._at + self._offsets[number])[0]
        return value

    def table(self, number: int) -> FlatTable | None:
        """A field that is a table; None if it is absent."""
        return FlatTable(self.data, self._target(number)) if self.has(number) else None

    def vector(self, number: int) -> tuple[int, int]:
        """A field that is a vector: the index of its first member, and the number of members."""
        if not self.has(number):
            return 0, 0
        start = self._target(number)
        count: int = _OFFSET.unpack_from(self.data, start)[0]
        return start + 4, count

    def tables(self, number: int, most: int) -> list[FlatTable]:
        """The first members of a field that is a vector of tables.

        Args:
            number: of the field.
            most: number of members to read.
        """
        start, count = self.vector(number)
        places = range(start, start + 4 * min(count, most), 4)
        return [FlatTable(self.data, at + _OFFSET.unpack_from(self.data, at)[0]) for at in places]

    def text(self, number: int, most: int) -> bytes:
        """The first bytes of a field that is a string.

        Args:
            number: of the field.
            most: number of bytes to read.
        """
        start, length = self.vector(number)
        return self.data[start : start + min(length, most)]

    def _target(self, number: int) -> int:
        at = self._at + self._offsets[number]
        target: int = at + _OFFSET.unpack_from(self.data, at)[0]
        return target
