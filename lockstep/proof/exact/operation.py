"""The argument of a rule: a node, the facts about its inputs, and its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from lockstep.proof.exact.interval import Array, Broken, Interval


@dataclass(frozen=True)
class Accumulation:
    """A node whose sums are shown to be exact.

    Attributes:
        node: its path.
        operator: of the node.
        units: the number of sums.
        unit: index of the sum with the least room, from 0.
        spare: that sum's spare bits.
    """

    node: str
    operator: str
    units: int
    unit: int
    spare: float


@dataclass(frozen=True)
class Operation:
    """A node and the facts about its inputs.

    Attributes:
        path: the node's name, or its place.
        operator: the node's operator.
        names: of its inputs; an empty string for one that is left out.
        values: the facts about them; None for one that is left out.
        attributes: their values by name.
        outputs: the number of its outputs.
        accumulations: a rule appends the sums that it has shown to be exact.
    """

    path: str
    operator: str
    names: Sequence[str]
    values: Sequence[Interval | None]
    attributes: Mapping[str, Any]
    outputs: int
    accumulations: list[Accumulation]

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value, or its default."""
        return self.attributes.get(name, default)

    def operands(self, count: int) -> list[Interval]:
        """The inputs, of which there must be exactly ``count``.

        Raises:
            Broken: where there is another number of them.
        """
        present = [value for value in self.values if value is not None]
        if len(present) != count or len(self.values) != count:
            raise Broken(f"it must have {count} inputs, and has {len(self.values)}")
        return present

    def value(self, place: int) -> Interval | None:
        """An input, or None if it is left out."""
        return self.values[place] if place < len(self.values) else None

    def constant(self, place: int) -> Array | None:
        """An input with known elements; None if it is left out.

        Raises:
            Broken: where its elements are not known.
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
