"""The bulk read: the numbers of a plain request straight into a buffer, by a SIMD parser.

It takes the common request only, rows of numbers in column order. Whatever else comes is left to
:mod:`forms.tensors`, which reads it value by value and says what is wrong: there is one place for
every sentence, and what the bulk read lets through is what the other way would read, to the bit.
"""

from __future__ import annotations

from threading import local

import numpy as np
import simdjson

from lockstep.artifact.columns import FeatureArray
from lockstep_service.http.placement import READ_IN_LOOP_BYTES
from lockstep_service.http.responses import Body

KEY = "instances"
# What the parser raises: not JSON, another type than a number, a number beyond its own.
UNREADABLE = (ValueError, TypeError, KeyError, RuntimeError)


class Parsers(local):
    """The parser of each thread: what it has parsed lives in it until it parses again."""

    def __init__(self) -> None:
        self.own = simdjson.Parser()


class BulkReader:
    """Reads rows of ``width`` numbers, in any thread."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._parsers = Parsers()

    def read(self, body: Body) -> FeatureArray | None:
        """The features of a plain request.

        Args:
            body: of the request.

        Returns:
            float32 ``[n, width]``, n ≥ 1, where an infinity stands for what float32 cannot hold; or
            None where the body is anything but ``{"instances": [[number, ...], ...]}`` with rows of
            exactly that width.
        """
        if not body.startswith(b"{"):
            return None
        try:
            return self._read(body)
        except UNREADABLE:
            return None

    def _read(self, body: Body) -> FeatureArray | None:
        # A parser keeps the memory that its largest body took: one for a large body goes with it.
        parser = self._parsers.own if len(body) < READ_IN_LOOP_BYTES else simdjson.Parser()
        # The parser's views must be gone before it parses again, so they live in this frame only.
        document = parser.parse(body)
        if not isinstance(document, simdjson.Object):
            return None
        instances = document[KEY]
        if not isinstance(instances, simdjson.Array):
            return None
        n = len(instances)
        # as_buffer flattens whatever it is given: without these checks a ragged or nested request
        # of the right size would be read with its values in the wrong rows.
        if not n or len(document) != 1 or body.count(b"[") != n + 1:
            return None
        width = self._width
        for row in instances:
            if not isinstance(row, simdjson.Array) or len(row) != width:
                return None
        flat = np.frombuffer(instances.as_buffer(of_type="d"), np.float64)
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
            return flat.astype(np.float32).reshape(n, width)
