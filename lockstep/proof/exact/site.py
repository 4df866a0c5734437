"""Where a rule stands: a node, what is known of what enters it, and its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto

from lockstep.proof.exact.value import Array, Broken, Value


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
class Site:
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
    values: Sequence[Value | None]
    attributes: Mapping[str, Any]
    outputs: int
    accumulations: list[Accumulation]

    @classmethod
    def of(
        cls,
        node: NodeProto,
        place: int,
        known: Mapping[str, Value],
        accumulations: list[Accumulation],
    ) -> Site:
        """The site of a node.

        Raises:
            Broken: where nothing is known of what enters it, or it holds a graph.
        """
        for name in node.input:
            if name and name not in known:
                raise Broken(f"nothing is known of {name!r}, which enters it")
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        return cls(
            path=node.name or f"{node.op_type} at place {place}",
            operator=node.op_type,
            names=tuple(node.input),
            values=tuple(known[name] if name else None for name in node.input),
            attributes=attributes,
            outputs=len(node.output),
            accumulations=accumulations,
        )

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value, or what holds where it is not there."""
        return self.attributes.get(name, default)

    def operands(self, count: int) -> list[Value]:
        """Exactly so many inputs.

        Raises:
            Broken: where there are others.
        """
        there = [value for value in self.values if value is not None]
        if len(there) != count or len(self.values) != count:
            raise Broken(f"it must have {count} inputs, and has {len(self.values)}")
        return there

    def value(self, place: int) -> Value | None:
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
