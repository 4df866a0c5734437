"""Operators that sum products: they must not sum over the batch axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.fact import FITTING, MixingError, Placement, Tensor, UndecidedError
from lockstep.proof.rows.layout import broadcast, check_beside, same_rows, transposed
from lockstep.proof.rows.number import Number
from lockstep.proof.rows.reshape import squeezed, unsqueezed

_SUMMED: Final = "it sums over the batch axis"
_CROSSED: Final = "it multiplies every row with every other row"


def matmul(left: Tensor, right: Tensor) -> Tensor:
    """The matrix product over the last two axes, broadcast over the others."""
    if not left.rank or not right.rank:
        raise UndecidedError(FITTING)
    dropped = []
    if left.rank == 1:
        left = unsqueezed(left, [0])
        dropped.append(-2)
    if right.rank == 1:
        right = unsqueezed(right, [1])
        dropped.append(-1)
    left_at, right_at = _from_end(left), _from_end(right)
    if left_at == -1 or right_at == -2:
        raise MixingError(_SUMMED)
    if (left_at == -2 and right.rows) or (right_at == -1 and left.rows):
        raise MixingError(_CROSSED)
    stack = broadcast([_stack(left), _stack(right)])
    dims = (*stack.shape, left.shape[-2], right.shape[-1])
    rows = stack.rows
    if left.rows and left_at == -2:
        rows = left.rows.at(len(dims) - 2)
    if right.rows and right_at == -1:
        rows = right.rows.at(len(dims) - 1)
    return squeezed(Tensor(dims, rows), [axis + len(dims) for axis in dropped])


def _from_end(tensor: Tensor) -> int:
    """The axis of the rows, counted from the end (< 0); 0 if there are no rows."""
    return tensor.rows.axis - tensor.rank if tensor.rows else 0


def _stack(tensor: Tensor) -> Tensor:
    in_stack = tensor.rows and _from_end(tensor) < -2
    return Tensor(tensor.shape[:-2], tensor.rows if in_stack else None)


def mat_mul(call: Call) -> Tensor:
    """``A @ B``."""
    return matmul(call.tensor(0), call.tensor(1))


def gemm(call: Call) -> Tensor:
    """``A' @ B' + C``, where A' and B' may be transposed."""
    left, right = call.tensor(0), call.tensor(1)
    left = transposed(left, [1, 0]) if call.attribute("transA", 0) else left
    right = transposed(right, [1, 0]) if call.attribute("transB", 0) else right
    whole = matmul(left, right)
    return broadcast([whole, call.tensor(2)]) if call.has(2) else whole


def integer_matmul(call: Call) -> Tensor:
    """``(A - a_zero) @ (B - b_zero)`` of integers."""
    whole = matmul(call.tensor(0), call.tensor(1))
    if call.has(2) and not call.constant(2).is_single:
        raise UndecidedError("each place of its first input has its own zero point")
    return broadcast([whole, call.constant(3)]) if call.has(3) else whole


def quantized_matmul(call: Call) -> Tensor:
    """``A @ B`` of quantized numbers; B's scales may differ from column to column."""
    whole = matmul(call.tensor(0), call.tensor(3))
    if not all(call.constant(index).is_single for index in (1, 2, 6, 7)):
        raise UndecidedError("its first input or its output has more than one scale")
    return broadcast([whole, call.constant(4), call.constant(5)])


Labels = list[str | int]  # letters; for axes of the ellipsis numbers, counted from its end


def einsum(call: Call) -> Tensor:
    """A sum of products by labelled axes: the batch's label must reach the output."""
    operands = call.tensors()
    terms, result = _labels(call.attribute("equation", ""), operands)
    lengths: dict[str | int, Number] = {}
    for operand, labels in zip(operands, terms, strict=True):
        for label, length in zip(labels, operand.shape, strict=True):
            if lengths.get(label, 1) == 1:
                lengths[label] = length
    rows, batch = _batch_label(operands, terms)
    if rows is None or batch is None:
        return Tensor(tuple(lengths[label] for label in result))
    if batch not in result:
        raise MixingError(_SUMMED)
    for operand, labels in zip(operands, terms, strict=True):
        if operand.rows is None and batch in labels:
            check_beside(operand, labels.index(batch), rows)
    lengths[batch] = rows.length
    return Tensor(tuple(lengths[label] for label in result), rows.at(result.index(batch)))


def _batch_label(
    operands: Sequence[Tensor], terms: Sequence[Labels]
) -> tuple[Placement | None, str | int | None]:
    """The rows of the operands, moved to axis 0, and the label of their axis."""
    found: Placement | None = None
    batch: str | int | None = None
    for operand, labels in zip(operands, terms, strict=True):
        if operand.rows is None:
            continue
        label, rows = labels[operand.rows.axis], operand.rows.at(0)
        if labels.count(label) > 1:
            raise UndecidedError("it takes a diagonal of the batch axis")
        if found and label != batch:
            raise MixingError(_CROSSED)
        found, batch = same_rows(found, rows) if found else rows, label
    return found, batch


def _labels(equation: str, operands: Sequence[Tensor]) -> tuple[list[Labels], Labels]:
    """The labels of each operand's axes and of the output's."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    written = left.split(",")
    if len(written) != len(operands):
        raise UndecidedError(FITTING)
    terms = [_term(text, tensor.rank) for text, tensor in zip(written, operands, strict=True)]
    ellipsis = sorted({label for term in terms for label in term if isinstance(label, int)})
    if arrow:
        return terms, _term(right, len(right.replace("...", "")) + len(ellipsis))
    once = sorted(letter for letter in set(left) - set(".,") if left.count(letter) == 1)
    return terms, [*ellipsis, *once]


def _term(text: str, rank: int) -> Labels:
    front, dots, back = text.partition("...")
    hidden = rank - len(front) - len(back)
    if hidden < 0 or (hidden and not dots):
        raise UndecidedError(FITTING)
    return [*front, *range(-hidden, 0), *back]


RULES: Final[Mapping[str, RowRule]] = {
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": mat_mul,
    "MatMulInteger": integer_matmul,
    "QLinearMatMul": quantized_matmul,
}
