"""The provenance of a tensor in an ONNX graph, found without running it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from onnx import AttributeProto, NodeProto, SparseTensorProto, TensorProto, numpy_helper

from lockstep.errors import Unreadable

Source = Literal["absent", "constant", "overridable", "input", "carried", "computed"]


@dataclass(frozen=True)
class Provenance:
    """The source of one tensor, and its value if that is a known scalar.

    ===========  ===============================================================================
    source       meaning
    ===========  ===============================================================================
    absent       an optional input that is not given
    constant     depends on the file alone
    overridable  an initializer that is a graph input too, so that a caller may replace it
    input        a graph input
    carried      a variable of a loop or scan
    computed     depends on a graph input or on chance
    ===========  ===============================================================================

    Attributes:
        source: one of these.
        scalar: its only element, booleans as 0 and 1; None if it has several or is unknown.
        origin: name of the graph input, for messages. It is ignored in comparisons.
    """

    source: Source
    scalar: float | None = None
    origin: str = field(default="", compare=False)


ABSENT: Final = Provenance("absent")
CARRIED: Final = Provenance("carried")
COMPUTED: Final = Provenance("computed")

_NOT_REAL = frozenset({TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128})
_KEEPS_SCALAR = frozenset({"Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten"})
_INTEGERS = frozenset(
    {
        TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
        TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
    }
)  # fmt: skip
_COMPARISONS: Mapping[str, Callable[..., object]] = {
    "Not": operator.not_,
    "And": lambda a, b: bool(a) and bool(b),
    "Or": lambda a, b: bool(a) or bool(b),
    "Xor": lambda a, b: bool(a) != bool(b),
    "Equal": operator.eq,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
}

_CONSTANTS: Mapping[str, Callable[[AttributeProto], float | None]] = {
    "value": lambda attribute: _scalar(attribute.t),
    "sparse_value": lambda attribute: _scalar(attribute.sparse_tensor),
    "value_int": lambda attribute: float(attribute.i),
    "value_float": lambda attribute: attribute.f,
    "value_ints": lambda attribute: _only(attribute.ints),
    "value_floats": lambda attribute: _only(attribute.floats),
}


def provenance_of(
    tensor: TensorProto | SparseTensorProto, *, overridable: bool = False
) -> Provenance:
    """The provenance of a tensor in the file; it is read only if it has exactly one element.

    Raises:
        Unreadable: where its values are not of the type and shape that it states.
    """
    return Provenance("overridable" if overridable else "constant", _scalar(tensor))


def _scalar(tensor: TensorProto | SparseTensorProto) -> float | None:
    if math.prod(tensor.dims) != 1:
        return None
    if isinstance(tensor, SparseTensorProto):
        return _scalar(tensor.values) if math.prod(tensor.values.dims) else 0.0
    external = tensor.data_location == TensorProto.EXTERNAL  # reading it would open another file
    if external or tensor.data_type in _NOT_REAL:
        return None
    try:
        elements = numpy_helper.to_array(tensor)
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(
            f"Tensor {tensor.name!r} of an ONNX model must hold values of its type and shape, "
            f"but cannot be read ({error!r}); export it again."
        ) from error
    return float(elements.reshape(-1)[0])


def fold(
    node: NodeProto, attributes: Mapping[str, AttributeProto], inputs: Sequence[Provenance]
) -> Provenance:
    """Derive the provenance of a node's first output from that of its inputs.

    Args:
        node: of the default domain.
        attributes: its attributes, including those that a function's call binds.
        inputs: the provenance of each of its inputs.

    Returns:
        The provenance of its first output. ``scalar`` is None for operators without a rule.
    """
    if node.op_type == "Constant":
        forms = [
            form(attribute)
            for name, attribute in attributes.items()
            if (form := _CONSTANTS.get(name)) is not None
        ]
        return Provenance("constant", forms[0] if forms else None)
    given = [value for value in inputs if value.source != "absent"]
    if not given:  # without inputs: a random or an unknown operator
        return COMPUTED
    if node.op_type in _KEEPS_SCALAR:
        return given[0]
    scalars = [value.scalar for value in given if value.scalar is not None]
    known = len(scalars) == len(given)
    return replace(
        _dependence(given), scalar=_compute(node.op_type, attributes, scalars) if known else None
    )


def _compute(
    op_type: str, attributes: Mapping[str, AttributeProto], scalars: Sequence[float]
) -> float | None:
    if op_type in _COMPARISONS:
        return float(bool(_COMPARISONS[op_type](*scalars)))
    if op_type != "Cast":
        return None
    target = attributes["to"].i
    if target == TensorProto.BOOL:
        return float(scalars[0] != 0)
    if target in _INTEGERS:
        return float(math.trunc(scalars[0])) if math.isfinite(scalars[0]) else None
    return scalars[0]


def _only(elements: Sequence[float]) -> float | None:
    return float(elements[0]) if len(elements) == 1 else None


def _dependence(values: Sequence[Provenance]) -> Provenance:
    """The weakest of the sources that a result depends on."""
    sources = {value.source for value in values}
    if sources & {"input", "computed"}:
        return COMPUTED
    if "carried" in sources:
        return CARRIED
    return Provenance("overridable" if "overridable" in sources else "constant")
