"""The reader of Arrow streams: values by column, without a copy of numbers.

Small readers in C do not check all lengths: twelve bytes crash the process with nanoarrow 0.9. Here
every buffer is a slice of the body, and every index is checked against its bounds. So malformed
bytes are only ever refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import Column
from lockstep.artifact.frame import ColumnValues, Mask, Numbers, Words
from lockstep_service.errors import BadRequest
from lockstep_service.forms.arrow.batch import Batch, bits_of, slice_of
from lockstep_service.forms.arrow.flatbuffer import BOOL, BYTE, LONG, SHORT, FlatTable
from lockstep_service.forms.arrow.message import BATCH, CONTINUATION, DICTIONARY, SCHEMA
from lockstep_service.forms.arrow.schema import Field, Layout, read_fields
from lockstep_service.forms.arrow.strings import Strings
from lockstep_service.http.responses import Body

FILE_MAGIC = b"ARROW1"
OLDEST_VERSION = 3  # V4: 64-bit lengths and validity as today
# Each message costs time, even without rows.
MOST_MESSAGES = 10_000
# A value may take one bit or no byte at all. A body may hold this many values, or one per byte if
# that is more.
MOST_VALUES_OF_FEW_BYTES = 2**20
# The errors that reading contradictory bytes raises.
BROKEN = (struct.error, ValueError, IndexError, TypeError, OverflowError, KeyError)


class Message(NamedTuple):
    """One message of a stream.

    Attributes:
        kind: ``SCHEMA``, ``DICTIONARY`` or ``BATCH``; others are refused.
        header: the table that describes it.
        body: the bytes of its buffers.
    """

    kind: int
    header: FlatTable
    body: memoryview


class Dictionary(NamedTuple):
    """The strings of a dictionary-encoded column.

    Attributes:
        strings: by index.
        missing: which of them are missing, bool ``[n]``; None if none is.
    """

    strings: Strings
    missing: Mask | None


def read_stream(body: Body, columns: Sequence[Column]) -> dict[str, ColumnValues]:
    """The values of an Arrow stream by column.

    Args:
        body: the whole stream with its end-of-stream marker, its buffers uncompressed.
        columns: of the network; the stream must have the same, in any order.

    Raises:
        BadRequest: where the bytes are not such a stream, or hold too many messages or values.
        InvalidInstances: naming the column that is unknown, absent or of another type.
    """
    if body.startswith(FILE_MAGIC):
        raise BadRequest(
            "Expected an Arrow IPC stream, got a file of the Arrow IPC (Feather) format; write a "
            "stream."
        )
    try:
        return _read(memoryview(body), columns)
    except BROKEN as error:
        raise BadRequest(
            "Expected an Arrow IPC stream, got bytes that are none or contradict themselves; write "
            "it with pyarrow's ipc.new_stream or polars' write_ipc_stream."
        ) from error


def _read(body: memoryview, columns: Sequence[Column]) -> dict[str, ColumnValues]:
    messages = _messages(body)
    first = next(messages, None)
    if first is None or first.kind != SCHEMA:
        raise ValueError("a stream that does not begin with its schema")
    fields = read_fields(first.header, columns)
    dictionaries: dict[int, Dictionary] = {}
    pieces: list[list[ColumnValues]] = [[] for _ in fields]
    values = 0
    for message in messages:
        if message.kind == DICTIONARY:
            _read_dictionary(message, fields, dictionaries)
        elif message.kind == BATCH:
            values += message.header.number(0, LONG) * len(fields)
            if values > max(MOST_VALUES_OF_FEW_BYTES, len(body)):
                raise BadRequest(
                    f"Expected at most {MOST_VALUES_OF_FEW_BYTES} values in so few bytes, got "
                    f"{values}; send fewer rows in a request."
                )
            batch = Batch(message.header, message.body, fields)
            for field, piece in zip(fields, pieces, strict=True):
                piece.append(_values(field, batch, dictionaries))
            batch.end()
        else:
            raise ValueError("a second schema, or a message of another kind")
    return {field.name: _joined(piece) for field, piece in zip(fields, pieces, strict=True)}


def _messages(body: memoryview) -> Iterator[Message]:
    """The messages in their order, up to the end-of-stream marker."""
    at = 0
    for _ in range(MOST_MESSAGES):
        # Other readers accept this as the end, but a stream cut between two batches looks the same.
        if at == len(body):
            raise BadRequest(
                "Expected an Arrow IPC stream with its end-of-stream marker, got one that stops "
                "without it, cut perhaps; close the writer, and send the whole of the stream."
            )
        if body[at : at + 4] != CONTINUATION:
            raise ValueError("no message where one should begin")
        (length,) = struct.unpack_from("<i", body, at + 4)
        at += 8
        if length == 0:
            if at != len(body):
                raise ValueError("bytes behind the end of the stream")
            return
        table = FlatTable.root(bytes(slice_of(body, at, length)))
        at += length
        header = table.table(2)
        if header is None or table.number(0, SHORT) < OLDEST_VERSION:
            raise ValueError("a message without its header, or of an old version")
        size = table.number(3, LONG)
        yield Message(table.number(1, BYTE), header, slice_of(body, at, size))
        at += size
    raise BadRequest(
        f"Expected an Arrow stream of at most {MOST_MESSAGES} messages, got more; send larger "
        f"batches, or fewer rows in a request."
    )


def _values(field: Field, batch: Batch, dictionaries: dict[int, Dictionary]) -> ColumnValues:
    """The values of a batch's next column."""
    if field.dictionary is not None:
        missing = batch.take_missing()
        indices = np.frombuffer(batch.take_buffer(), field.dtype, batch.rows)
        return _looked_up(indices, missing, dictionaries[field.dictionary])
    if field.layout is Layout.NULL:
        batch.skip_node()
        return Words((), np.full(batch.rows, -1))
    missing = batch.take_missing()
    if field.layout is Layout.FIXED:
        return Numbers(np.frombuffer(batch.take_buffer(), field.dtype, batch.rows), missing)
    if field.layout is Layout.BOOL:
        return Numbers(bits_of(batch.take_buffer(), batch.rows), missing)
    words, places = batch.take_strings(field).distinct()
    if missing is not None:
        places[missing] = -1
    return Words(words, places)


def _looked_up(indices: NDArray[Any], missing: Mask | None, dictionary: Dictionary) -> Words:
    """The words that indices into a dictionary stand for; unused words are not read."""
    present = indices if missing is None else indices[~missing]
    used, inverse = np.unique(present, return_inverse=True)
    if len(used) and (used[0] < 0 or used[-1] >= len(dictionary.strings)):
        raise ValueError("an index beyond its dictionary")
    used = used.astype(np.int64)
    words = dictionary.strings.take(used)
    if dictionary.missing is not None:
        inverse = np.where(dictionary.missing[used], -1, np.arange(len(used)))[inverse]
    if missing is None:
        return Words(words, inverse)
    places = np.full(len(indices), -1)
    places[~missing] = inverse
    return Words(words, places)


def _read_dictionary(
    message: Message, fields: Sequence[Field], dictionaries: dict[int, Dictionary]
) -> None:
    """Keep a dictionary by its number; a later one with the same number replaces it."""
    number = message.header.number(0, LONG)
    if message.header.number(2, BOOL):
        raise BadRequest("Expected whole Arrow dictionaries, got a delta; write them whole.")
    field = next((field for field in fields if field.dictionary == number), None)
    header = message.header.table(1)
    if field is None or header is None:
        raise ValueError("a dictionary that no column has, or without its values")
    batch = Batch(header, message.body, fields[:1])
    missing = batch.take_missing()
    dictionaries[number] = Dictionary(batch.take_strings(field), missing)
    batch.end()


def _joined(pieces: Sequence[ColumnValues]) -> ColumnValues:
    """The values of a column over all batches."""
    if len(pieces) == 1:
        return pieces[0]
    numbers = [piece for piece in pieces if isinstance(piece, Numbers)]
    if numbers:
        masks = [
            np.zeros(len(piece), np.bool_) if piece.missing is None else piece.missing
            for piece in numbers
        ]
        return Numbers(np.concatenate([piece.values for piece in numbers]), np.concatenate(masks))
    words: list[str] = []
    places: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for piece in pieces:
        if isinstance(piece, Words):
            places.append(np.where(piece.places < 0, -1, piece.places + len(words)))
            words += piece.words
    return Words(words, np.concatenate(places))
