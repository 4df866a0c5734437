"""What is known of the inputs of a graph: axis 0 is the batch, whatever it is called."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, TensorShapeProto, ValueInfoProto

from lockstep.proof.rows.number import Number, Unknown
from lockstep.proof.rows.value import Rows, Tensor, Undecided, Value

_Dimension = TensorShapeProto.Dimension


def fed(graph: GraphProto) -> dict[str, Value]:
    """The graph inputs that a caller must give, by name.

    A batch axis of a fixed length is followed like any other, and its length is kept in mind: such
    a file spells it out where others ask for it.
    """
    initializers = {tensor.name for tensor in graph.initializer}
    initializers |= {sparse.values.name for sparse in graph.sparse_initializer}
    inputs = [given for given in graph.input if given.name not in initializers]
    shapes = [_shape(given) for given in inputs]
    batches = [shape[0] for shape in shapes if shape]
    counts = {batch.dim_value for batch in batches if batch.HasField("dim_value")}
    names = {batch.dim_param for batch in batches} - {""}
    lengths: dict[str, Unknown] = {}
    return {
        given.name: _value(given.name, shape, counts, names, lengths)
        for given, shape in zip(inputs, shapes, strict=True)
    }


def _shape(given: ValueInfoProto) -> Sequence[_Dimension] | None:
    """The declared lengths of the axes, or None where there are none."""
    if not given.type.HasField("tensor_type") or not given.type.tensor_type.HasField("shape"):
        return None
    dimensions: Sequence[_Dimension] = given.type.tensor_type.shape.dim
    return dimensions


def _value(
    name: str,
    shape: Sequence[_Dimension] | None,
    counts: set[int],
    batches: set[str],
    lengths: dict[str, Unknown],
) -> Value:
    if not shape:
        return Undecided(None, None, f"input {name!r} has no axis that could be the batch")
    if len(counts) > 1:
        sizes = " and ".join(map(str, sorted(counts)))
        return Undecided(None, None, f"the inputs have batches of {sizes} rows")
    if any(dimension.dim_param in batches for dimension in shape[1:] if dimension.dim_param):
        return Undecided(None, None, f"input {name!r} has two axes that are as long as the batch")
    rows = Rows(0, count=next(iter(counts), None))
    dims = (rows.length, *(_length(dimension, lengths) for dimension in shape[1:]))
    return Tensor(dims, rows)


def _length(dimension: _Dimension, lengths: dict[str, Unknown]) -> Number:
    if dimension.HasField("dim_value"):
        return dimension.dim_value
    if not dimension.dim_param:
        return Unknown(follows=False)
    return lengths.setdefault(dimension.dim_param, Unknown(follows=False))
