"""A record batch of an Arrow stream: its buffers, each checked against the bytes of the body."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lockstep.artifact.frame import Mask
from lockstep_service.errors import BadRequest
from lockstep_service.forms.arrow.flatbuffer import LONG, FlatTable
from lockstep_service.forms.arrow.schema import Field, Layout
from lockstep_service.forms.arrow.strings import Strings, strings_of


def slice_of(data: memoryview, start: int, length: int) -> memoryview:
    """The bytes from ``start`` on.

    Args:
        data: to take them from.
        start: index of the first byte.
        length: number of bytes.

    Raises:
        ValueError: where the range is not within the data.
    """
    if start < 0 or length < 0 or start + length > len(data):
        raise ValueError("bytes that are not there")
    return data[start : start + length]


class Batch:
    """A record batch, whose buffers are taken one after the other in the order of its fields.

    Contradictory bytes raise one of the reader's ``BROKEN`` errors.

    Args:
        header: the table that describes the batch.
        body: the bytes of its buffers.
        fields: its columns.

    Attributes:
        rows: number of rows.

    Raises:
        BadRequest: where the buffers are compressed.
    """

    def __init__(self, header: FlatTable, body: memoryview, fields: Sequence[Field]) -> None:
        if header.has(3):
            raise BadRequest(
                "Expected an Arrow stream without compression inside; leave it out, or compress "
                "the body by Content-Encoding: gzip."
            )
        self.rows = header.number(0, LONG)
        if self.rows < 0:
            raise ValueError("fewer rows than none")
        self._body = body
        self._nodes = _pairs(header, 1)
        self._buffers = _pairs(header, 2)
        start, count = header.vector(4)
        self._view_buffers = np.frombuffer(header.data, "<i8", count, start).tolist()
        # Buffers must not overlap, so that a small body cannot expand to many values.
        lengths = [length for _, length in self._buffers]
        if min(lengths, default=0) < 0 or sum(lengths) > len(body):
            raise ValueError("buffers that overlap")
        if len(self._nodes) != len(fields) or any(n != self.rows for n, _ in self._nodes):
            raise ValueError("columns of another length than the batch's")
        for lists in (self._nodes, self._buffers, self._view_buffers):
            lists.reverse()  # list.pop takes from the end

    def take_buffer(self) -> memoryview:
        """The next buffer."""
        return slice_of(self._body, *self._buffers.pop())

    def take_missing(self) -> Mask | None:
        """The next column's mask of missing rows, bool ``[rows]``; None if none is missing."""
        _, missing = self._nodes.pop()
        bits = self.take_buffer()
        if len(bits):
            mask: Mask = ~bits_of(bits, self.rows)
            return mask
        if missing > 0:
            raise ValueError("missing values without the bits that tell which")
        return None

    def skip_node(self) -> None:
        """Skip a column that has no buffers."""
        self._nodes.pop()

    def take_strings(self, field: Field) -> Strings:
        """The next column's strings."""
        places = self.take_buffer()
        more = self._view_buffers.pop() if field.layout is Layout.VIEWS else 1
        data = [self.take_buffer() for _ in range(more)]
        return strings_of(field.layout, self.rows, places, data, field.longest)

    def end(self) -> None:
        """Check that all nodes and buffers were taken."""
        if self._nodes or self._buffers:
            raise ValueError("buffers that no column has")


def _pairs(table: FlatTable, number: int) -> list[list[int]]:
    """A vector of pairs of 64-bit numbers: (length, missing) or (offset, length)."""
    start, count = table.vector(number)
    flat = np.frombuffer(table.data, "<i8", 2 * count, start)
    pairs: list[list[int]] = flat.reshape(count, 2).tolist()
    return pairs


def bits_of(data: memoryview, n: int) -> Mask:
    """The first n bits as bool ``[n]``, least significant bit first.

    Raises:
        ValueError: where the data has fewer bits.
    """
    packed = np.frombuffer(data, np.uint8, (n + 7) // 8)
    return np.unpackbits(packed, count=n, bitorder="little").view(np.bool_)
