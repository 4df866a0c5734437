"""Elementwise operators: they keep the position of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from onnx import TensorProto

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.fact import RandomError, Tensor, UndecidedError
from lockstep.proof.rows.layout import broadcast
from lockstep.proof.rows.number import EXACT_LIMIT, NumberArray, compute, known_product

# Larger arrays are unlikely to be shapes; following their numbers would only take time.
ELEMENTS_LIMIT: Final = 4096

UNARY: Final = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu",
    "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round",
    "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish",
    "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
VARIADIC: Final = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Clip", "Div", "Equal",
    "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul",
    "Or", "Pow", "PRelu", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
RANDOM: Final = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
)  # fmt: skip
# Types that hold every whole number that is followed, up to ``EXACT_LIMIT``.
WIDE_TYPES: Final = frozenset(
    {
        TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64,
        TensorProto.UINT32, TensorProto.UINT64,
    }
)  # fmt: skip


def elementwise(call: Call) -> Tensor:
    """Broadcast the inputs; the rows of all of them must meet on one axis."""
    operands = call.tensors()
    whole = broadcast(operands)
    size = known_product(whole.shape)
    if whole.rows or size is None or size > ELEMENTS_LIMIT:
        return whole
    numbers = [operand.elements for operand in operands if operand.elements is not None]
    if len(numbers) < len(operands):
        return whole
    return replace(whole, elements=compute(call.operator, numbers))


def cast(call: Call) -> Tensor:
    """Keep the numbers if the new type holds all of them."""
    tensor = call.tensor(0)
    # CastLike names no type; every type holds 0 and 1.
    to = call.attribute("to", TensorProto.BOOL)
    keeps = tensor.elements is not None and (
        to == TensorProto.INT64 or _holds(tensor.elements, wide=to in WIDE_TYPES)
    )
    return replace(tensor, elements=tensor.elements if keeps else None)


def _holds(numbers: NumberArray, *, wide: bool) -> bool:
    """Whether a type holds these numbers; a narrow type is only trusted with 0 and 1."""
    if wide:
        return all(not isinstance(n, int) or abs(n) <= EXACT_LIMIT for n in numbers.flat)
    return all(isinstance(n, int) and n in {0, 1} for n in numbers.flat)


def quantize(call: Call) -> Tensor:
    """Scale by constants: one for the tensor, or one for each place of an axis without rows."""
    tensor, scale = call.tensor(0), call.constant(1)
    if not scale.is_single:
        axis = call.attribute("axis", 1) % tensor.rank
        if scale.rank != 1 or (tensor.rows and tensor.rows.axis == axis):
            raise UndecidedError("its scales lie along the batch axis, or in blocks")
    if call.has(2):
        call.constant(2)
    return Tensor(tensor.dims, tensor.rows)


def dropout(call: Call) -> tuple[Tensor, Tensor]:
    """Keep the input, in inference mode.

    Raises:
        RandomError: where it is, or may be, in training mode; the audit reports that.
    """
    tensor = call.tensor(0)
    if call.has(2) and call.numbers(2) != [0]:
        raise RandomError("it is or may be in training mode, and then random")
    return tensor, replace(tensor, elements=None)


def random(call: Call) -> Tensor:
    """Refuse random numbers.

    Raises:
        RandomError: always; the audit reports that.
    """
    raise RandomError(f"{call.operator} is random")


RULES: Final[Mapping[str, RowRule]] = {
    **dict.fromkeys(UNARY, elementwise),
    **dict.fromkeys(VARIADIC, elementwise),
    "Cast": cast,
    "CastLike": cast,
    "BitCast": cast,
    "QuantizeLinear": quantize,
    "DequantizeLinear": quantize,
    "Dropout": dropout,
    **dict.fromkeys(RANDOM, random),
}
