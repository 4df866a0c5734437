"""The facts about the inputs of a graph: axis 0 is the batch, whatever its name."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorShapeProto, ValueInfoProto

from lockstep.proof.rows.fact import Placement, RowFact, Tensor, Undecided
from lockstep.proof.rows.number import Number, UnknownNumber

_Dimension = TensorShapeProto.Dimension


def fed(inputs: Sequence[ValueInfoProto]) -> dict[str, RowFact]:
    """The facts about the inputs that a caller must give, by name.

    A batch axis of a fixed length is followed like any other. Its length is recorded, since such a
    file contains the number where others compute it.
    """
    shapes = [_shape(given) for given in inputs]
    batches = [shape[0] for shape in shapes if shape]
    counts = {batch.dim_value for batch in batches if batch.HasField("dim_value")}
    names = {batch.dim_param for batch in batches} - {""}
    lengths: dict[str, UnknownNumber] = {}
    return {
        given.name: _value(given.name, shape, counts, names, lengths)
        for given, shape in zip(inputs, shapes, strict=True)
    }


def _shape(given: ValueInfoProto) -> Sequence[_Dimension] | None:
    """The declared lengths of the axes, or None if there are none."""
    if not given.type.HasField("tensor_type") or not given.type.tensor_type.HasField("shape"):
        return None
    dimensions: Sequence[_Dimension] = given.type.tensor_type.shape.dim
    return dimensions


def _value(
    name: str,
    shape: Sequence[_Dimension] | None,
    counts: set[int],
    batches: set[str],
    lengths: dict[str, UnknownNumber],
) -> RowFact:
    if not shape:
        return Undecided(None, None, f"input {name!r} has no axis that could be the batch")
    if len(counts) > 1:
        sizes = " and ".join(map(str, sorted(counts)))
        return Undecided(None, None, f"the inputs have batches of {sizes} rows")
    if any(dimension.dim_param in batches for dimension in shape[1:] if dimension.dim_param):
        return Undecided(None, None, f"input {name!r} has two axes that are as long as the batch")
    rows = Placement(0, count=next(iter(counts), None))
    dims = (rows.length, *(_length(dimension, lengths) for dimension in shape[1:]))
    return Tensor(dims, rows)


def _length(dimension: _Dimension, lengths: dict[str, UnknownNumber]) -> Number:
    if dimension.HasField("dim_value"):
        return dimension.dim_value
    if not dimension.dim_param:
        return UnknownNumber(follows=False)
    return lengths.setdefault(dimension.dim_param, UnknownNumber(follows=False))
