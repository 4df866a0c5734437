"""Where a rule stands: a node, what is known of what enters it, and its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from lockstep.proof.exact.interval import Array, Broken, Interval


@dataclass(frozen=True)
class Accumulation:
    """A node whose sums were shown to be exact.

    Attributes:
        node: its path.
        operator: what it is.
        units: how many sums there are.
        unit: the one with the least room.
        spare: its bits to spare.
    """

    node: str
    operator: str
    units: int
    unit: int
    spare: float


@dataclass(frozen=True)
class Operation:
    """A node and what enters it.

    Attributes:
        path: the node's name, or its place.
        operator: the node's operator.
        names: of its inputs; empty where one is left out.
        values: what is known of them; None where one is left out.
        attributes: by name.
        accumulations: to which a rule adds what it has shown.
    """

    path: str
    operator: str
    names: Sequence[str]
    values: Sequence[Interval | None]
    attributes: Mapping[str, Any]
    outputs: int
    accumulations: list[Accumulation]

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value, or what holds where it is not there."""
        return self.attributes.get(name, default)

    def operands(self, count: int) -> list[Interval]:
        """Exactly so many inputs.

        Raises:
            Broken: where there are others.
        """
        there = [value for value in self.values if value is not None]
        if len(there) != count or len(self.values) != count:
            raise Broken(f"it must have {count} inputs, and has {len(self.values)}")
        return there

    def value(self, place: int) -> Interval | None:
        """An input, or None where it is left out."""
        return self.values[place] if place < len(self.values) else None

    def constant(self, place: int) -> Array | None:
        """An input that the file itself must hold; None where it is left out.

        Raises:
            Broken: where it is computed.
        """
        value = self.value(place)
        if value is None:
            return None
        if not bool(np.array_equal(value.low, value.high)):
            raise Broken(f"its input {self.names[place]!r} must be known")
        return value.low

    def cast_type(self) -> np.dtype[Any]:
        """The type that a ``Cast`` casts to."""
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.attributes["to"]))
