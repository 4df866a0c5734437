"""The writer of Arrow streams: one record batch of columns without missing values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import flatbuffers  # type: ignore[import-untyped]  # it carries no types
import numpy as np
from numpy.typing import NDArray

from lockstep_service.forms.arrow.message import BATCH, CONTINUATION, SCHEMA

END = CONTINUATION + bytes(4)
VERSION = 4  # V5
INT, FLOATING, UTF8, BOOLEAN = 2, 3, 5, 6
ALIGNMENT = 8
KEPT_SCHEMAS = 64


class AnswerField(NamedTuple):
    """A column of the stream.

    Attributes:
        name: of the column.
        kind: numpy's letter for its kind: f, i, u, b, or U for strings.
        bytes: size of one number; 0 for booleans and strings.
    """

    name: str
    kind: str
    bytes: int


def write_stream(names: Sequence[str], columns: Sequence[NDArray[Any]]) -> bytes:
    """An Arrow IPC stream of one record batch.

    Args:
        names: of the columns.
        columns: each ``[n]``: numbers, booleans or strings.
    """
    fields = []
    parts: list[bytes] = []
    places: list[tuple[int, int]] = []
    at = 0
    for name, column in zip(names, columns, strict=True):
        kind = "U" if column.dtype.kind == "O" else column.dtype.kind
        fields.append(AnswerField(name, kind, column.dtype.itemsize if kind in "fiu" else 0))
        for buffer in (b"", *_buffers(column)):  # an empty validity buffer: no value is missing
            places.append((at, len(buffer)))
            parts.append(_padded(buffer))
            at += len(parts[-1])
    batch = _batch_message(len(columns[0]), len(columns), places, at)
    return b"".join((_schema_message(tuple(fields)), batch, *parts, END))


def _buffers(column: NDArray[Any]) -> list[bytes]:
    match column.dtype.kind:
        case "b":
            return [np.packbits(column, bitorder="little").tobytes()]
        case "O" | "U":
            words = [str(word).encode() for word in column]
            ends = np.cumsum([0, *map(len, words)], dtype="<i4")
            return [ends.tobytes(), b"".join(words)]
        case _:
            return [column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


@lru_cache(maxsize=KEPT_SCHEMAS)
def _schema_message(fields: tuple[AnswerField, ...]) -> bytes:
    """The message of the schema; cached, because all answers of a network have the same one."""
    builder = flatbuffers.Builder(1024)
    offsets = [_field(builder, field) for field in fields]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    vector = builder.EndVector()
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    return _message(builder, SCHEMA, builder.EndObject(), 0)


def _field(builder: Any, field: AnswerField) -> int:
    name = builder.CreateString(field.name)
    builder.StartVector(4, 0, 4)
    children = builder.EndVector()
    union, write = _type(field)
    builder.StartObject(2)
    write(builder)
    kind = builder.EndObject()
    builder.StartObject(7)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUint8Slot(2, union, 0)
    builder.PrependUOffsetTRelativeSlot(3, kind, 0)
    builder.PrependUOffsetTRelativeSlot(5, children, 0)
    offset: int = builder.EndObject()
    return offset


def _type(field: AnswerField) -> tuple[int, Callable[[Any], object]]:
    """The type's number in Arrow's union of types, and a function that writes its parameters."""
    match field.kind:
        case "f":
            precision = {2: 0, 4: 1, 8: 2}[field.bytes]
            return FLOATING, lambda builder: builder.PrependInt16Slot(0, precision, 0)
        case "i" | "u":
            return INT, lambda builder: (
                builder.PrependInt32Slot(0, 8 * field.bytes, 0),
                builder.PrependBoolSlot(1, field.kind == "i", False),
            )
        case "b":
            return BOOLEAN, lambda _: None
        case _:
            return UTF8, lambda _: None


def _batch_message(
    rows: int, columns: int, places: Sequence[tuple[int, int]], body_bytes: int
) -> bytes:
    builder = flatbuffers.Builder(256)
    buffers = _pairs(builder, places)
    nodes = _pairs(builder, [(rows, 0)] * columns)
    builder.StartObject(4)
    builder.PrependInt64Slot(0, rows, 0)
    builder.PrependUOffsetTRelativeSlot(1, nodes, 0)
    builder.PrependUOffsetTRelativeSlot(2, buffers, 0)
    return _message(builder, BATCH, builder.EndObject(), body_bytes)


def _pairs(builder: Any, pairs: Sequence[tuple[int, int]]) -> int:
    builder.StartVector(16, len(pairs), 8)
    for first, second in reversed(pairs):
        builder.PrependInt64(second)
        builder.PrependInt64(first)
    offset: int = builder.EndVector()
    return offset


def _message(builder: Any, kind: int, header: int, body_bytes: int) -> bytes:
    builder.StartObject(5)
    builder.PrependInt16Slot(0, VERSION, 0)
    builder.PrependUint8Slot(1, kind, 0)
    builder.PrependUOffsetTRelativeSlot(2, header, 0)
    builder.PrependInt64Slot(3, body_bytes, 0)
    builder.Finish(builder.EndObject())
    metadata = _padded(bytes(builder.Output()))
    return CONTINUATION + len(metadata).to_bytes(4, "little") + metadata
