"""The schema of an Arrow stream: its fields, checked against the columns of the network.

The numbers of fields and types are those of Arrow's ``Schema.fbs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from lockstep.artifact.columns import Column
from lockstep.artifact.frame import check_names
from lockstep.errors import MOST_PROBLEMS, InvalidInstances, InvalidValue
from lockstep_service.errors import BadRequest
from lockstep_service.forms.arrow.flatbuffer import BOOL, BYTE, INT, LONG, SHORT, FlatTable

# The members of Arrow's union of types, in its order.
TYPES = (
    *("none", "Null", "Int", "FloatingPoint", "Binary", "Utf8", "Bool", "Decimal", "Date"),
    *("Time", "Timestamp", "Interval", "List", "Struct", "Union", "FixedSizeBinary"),
    *("FixedSizeList", "Map", "Duration", "LargeBinary", "LargeUtf8", "LargeList"),
    *("RunEndEncoded", "BinaryView", "Utf8View", "ListView", "LargeListView"),
)
INT_TYPE, FLOATING_TYPE = TYPES.index("Int"), TYPES.index("FloatingPoint")
PRECISIONS = ("<f2", "<f4", "<f8")
WANTED = {"numeric": "numbers", "boolean": "booleans", "categorical": "strings"}


class Layout(Enum):
    """The memory layout of a field's values in a batch."""

    NULL = "null"
    BOOL = "bool"
    FIXED = "fixed"
    STRINGS = "strings"
    LARGE_STRINGS = "large strings"
    VIEWS = "views"


STRINGS = frozenset({Layout.STRINGS, Layout.LARGE_STRINGS, Layout.VIEWS})
LAYOUTS = {
    TYPES.index("Null"): Layout.NULL,
    TYPES.index("Bool"): Layout.BOOL,
    INT_TYPE: Layout.FIXED,
    FLOATING_TYPE: Layout.FIXED,
    TYPES.index("Utf8"): Layout.STRINGS,
    TYPES.index("LargeUtf8"): Layout.LARGE_STRINGS,
    TYPES.index("Utf8View"): Layout.VIEWS,
}


class Field(NamedTuple):
    """One field of a stream.

    Attributes:
        name: of its column.
        layout: of its values, or of its dictionary's.
        dtype: of its values, or of the indices into its dictionary.
        dictionary: the number of its dictionary in the stream; None if it has none.
        longest: bytes of the longest category of its column.
    """

    name: str
    layout: Layout
    dtype: np.dtype[Any] | None
    dictionary: int | None
    longest: int


def read_fields(schema: FlatTable, columns: Sequence[Column]) -> list[Field]:
    """The fields of a stream, which must be the columns of the network.

    Args:
        schema: the header of the stream's first message.
        columns: of the network.

    Returns:
        The fields, in the order of the stream.

    Raises:
        BadRequest: where numbers are big-endian.
        InvalidInstances: naming the columns that are unknown, absent, present twice, or of a type
            that no network takes.
    """
    if schema.number(0, SHORT):
        raise BadRequest("Expected an Arrow stream of little-endian numbers, got big-endian ones.")
    # A stream with more fields than this is refused without reading the rest.
    tables = schema.tables(1, len(columns) + MOST_PROBLEMS)
    longest = max(len(column.name.encode()) for column in columns)
    names = [_name(table, longest) for table in tables]
    check_names(names, columns)
    if len(names) != len(columns):
        twice = sorted({name for name in names if names.count(name) > 1})
        message = "the column is there twice; leave one out"
        raise InvalidInstances([InvalidValue(0, name, message) for name in twice[:MOST_PROBLEMS]])
    by_name = {column.name: column for column in columns}
    fields = [_field(table, by_name[name]) for table, name in zip(tables, names, strict=True)]
    wrong = [field for field in fields if isinstance(field, InvalidValue)]
    if wrong:
        raise InvalidInstances(wrong[:MOST_PROBLEMS])
    return [field for field in fields if isinstance(field, Field)]


def _name(field: FlatTable, longest: int) -> str:
    """A field's name, cut if it is longer than the longest name of a column."""
    name = field.text(0, longest + 1)
    return name.decode(errors="replace") if len(name) <= longest else _cut(name)


def _cut(name: bytes) -> str:
    return f"{name.decode(errors='ignore')}…"


def _field(table: FlatTable, column: Column) -> Field | InvalidValue:
    kind = table.number(2, BYTE)
    encoding = table.table(4)
    layout = LAYOUTS.get(kind)
    if layout is None or (encoding is not None and layout not in STRINGS):
        name = TYPES[kind] if kind < len(TYPES) else "unknown"
        got = f"a dictionary of type {name}" if encoding is not None else f"the type {name}"
        message = f"expected an Arrow column of {WANTED[column.kind]}, got {got}; cast it"
        return InvalidValue(0, column.name, message)
    longest = max((len(word.encode()) for word in column.vocabulary or ()), default=0)
    if encoding is None:
        dtype = _dtype(kind, table.table(3)) if layout is Layout.FIXED else None
        return Field(column.name, layout, dtype, None, longest)
    index = encoding.table(1)
    dtype = np.dtype("<i4") if index is None else _dtype(INT_TYPE, index)
    return Field(column.name, layout, dtype, encoding.number(0, LONG), longest)


def _dtype(kind: int, parameters: FlatTable | None) -> np.dtype[Any]:
    """The numpy type of numbers; ValueError if Arrow has no such type."""
    if parameters is None:
        raise ValueError("a type of numbers without its width")
    if kind == FLOATING_TYPE:
        precision = parameters.number(0, SHORT)
        if not 0 <= precision < len(PRECISIONS):
            raise ValueError(f"floating point of precision {precision}")
        return np.dtype(PRECISIONS[precision])
    bits = parameters.number(0, INT)
    if bits not in {8, 16, 32, 64}:
        raise ValueError(f"whole numbers of {bits} bits")
    return np.dtype(f"<{'i' if parameters.number(1, BOOL) else 'u'}{bits // 8}")
