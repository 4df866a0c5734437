"""The bulk reader: a SIMD parser writes the numbers of a plain request straight into a buffer.

It reads the common request only: rows of numbers in column order. All other requests are left to
:mod:`forms.tensors`, which reads value by value and words the error messages. Where the bulk reader
returns features, they are equal to those of the other path, to the bit.
"""

from __future__ import annotations

from threading import local

import numpy as np
import simdjson

from lockstep.artifact.columns import FeatureArray
from lockstep_service.http.placement import READ_IN_LOOP_BYTES
from lockstep_service.http.responses import Body

KEY = "instances"
# The parser's errors: not JSON, a value that is not a number, a number beyond its range.
UNREADABLE = (ValueError, TypeError, KeyError, RuntimeError)


class Parsers(local):
    """One parser per thread: a parser owns its document until it parses the next one."""

    def __init__(self) -> None:
        self.own = simdjson.Parser()


class BulkReader:
    """Reads rows of ``width`` numbers; it may be called in any thread."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._parsers = Parsers()

    def read(self, body: Body) -> FeatureArray | None:
        """The features of a plain request.

        Args:
            body: of the request, decompressed.

        Returns:
            float32 ``[n, width]``, n ≥ 1. A number that float32 cannot hold is infinite. None where
            the body is not ``{"instances": [[number, ...], ...]}`` with rows of exactly that width.
        """
        if not body.startswith(b"{"):
            return None
        try:
            return self._read(body)
        except UNREADABLE:
            return None

    def _read(self, body: Body) -> FeatureArray | None:
        # A parser keeps the memory of its largest body. A large body gets a parser of its own,
        # which is freed with it.
        parser = self._parsers.own if len(body) < READ_IN_LOOP_BYTES else simdjson.Parser()
        # No view of the document may outlive this call, because the parser is used again.
        document = parser.parse(body)
        if not isinstance(document, simdjson.Object):
            return None
        instances = document[KEY]
        if not isinstance(instances, simdjson.Array):
            return None
        n = len(instances)
        # as_buffer flattens any nesting. Without these checks a ragged or nested request of the
        # right size would be read with its values in the wrong rows.
        if not n or len(document) != 1 or body.count(b"[") != n + 1:
            return None
        width = self._width
        for row in instances:
            if not isinstance(row, simdjson.Array) or len(row) != width:
                return None
        flat = np.frombuffer(instances.as_buffer(of_type="d"), np.float64)
        with np.errstate(over="ignore"):  # too large for float32: infinite, which is refused
            return flat.astype(np.float32).reshape(n, width)
