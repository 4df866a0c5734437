"""Operators that work along axes: sums, means, extremes, running sums, softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

import numpy as np

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.fact import MixingError, Placement, Tensor
from lockstep.proof.rows.number import ARITHMETIC, Number, NumberArray
from lockstep.proof.rows.reshape import squeezed

REDUCTIONS: Final = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_FOLDS: Final = {
    "ReduceProd": ARITHMETIC["Mul"],
    "ReduceSum": ARITHMETIC["Add"],
    "ReduceMax": ARITHMETIC["Max"],
    "ReduceMin": ARITHMETIC["Min"],
}


def check_along(rows: Placement | None, axes: Sequence[int]) -> None:
    """Require that the batch axis is not among the axes along which an operator works.

    Raises:
        MixingError: where it is.
    """
    if rows and rows.axis in axes:
        raise MixingError("it works along the batch axis")


def reduce_(call: Call) -> Tensor:
    """Reduce some axes to one number; all axes if none are named."""
    tensor = call.tensor(0)
    axes = call.axes(tensor.rank)
    if not axes:
        if call.attribute("noop_with_empty_axes", 0):
            return Tensor(tensor.dims, tensor.rows)
        axes = tuple(range(tensor.rank))
    numbers = _folded(call.operator, tensor.elements) if len(axes) == tensor.rank == 1 else None
    return _reduced(tensor, axes, call.attribute("keepdims", 1), numbers)


def _folded(operator: str, numbers: NumberArray | None) -> Number | None:
    if numbers is None or operator not in _FOLDS or not numbers.size:
        return None
    whole: Number = reduce(_FOLDS[operator], numbers.flat)
    return whole


def _reduced(
    tensor: Tensor, axes: Sequence[int], keep: bool, number: Number | None = None
) -> Tensor:
    check_along(tensor.rows, axes)
    dims = tuple(1 if axis in axes else length for axis, length in enumerate(tensor.shape))
    elements = None
    if number is not None:
        elements = np.empty((1,) * len(dims), dtype=object)
        elements.fill(number)
    whole = Tensor(dims, tensor.rows, elements)
    return whole if keep else squeezed(whole, axes)


def arg(call: Call) -> Tensor:
    """The index of the largest or smallest number of an axis."""
    tensor = call.tensor(0)
    return _reduced(tensor, [call.axis(tensor.rank, 0)], call.attribute("keepdims", 1))


def running(call: Call) -> Tensor:
    """Running sums or products along an axis."""
    tensor = call.tensor(0)
    (axis,) = call.integers(1)
    check_along(tensor.rows, [axis % tensor.rank])
    return Tensor(tensor.dims, tensor.rows)


def softmax(call: Call) -> Tensor:
    """Softmax along an axis; up to version 12, along all axes from it on."""
    tensor = call.tensor(0)
    axis = call.axis(tensor.rank, -1 if call.version >= 13 else 1)
    check_along(tensor.rows, [axis] if call.version >= 13 else range(axis, tensor.rank))
    return Tensor(tensor.dims, tensor.rows)


def on_last_axes(call: Call) -> Tensor:
    """Keep a triangle of the matrices in the last two axes."""
    tensor = call.tensor(0)
    if tensor.rows and tensor.rows.axis >= tensor.rank - 2:
        raise MixingError("it keeps or drops numbers by their row's position in the batch")
    return Tensor(tensor.dims, tensor.rows)


def determinant(call: Call) -> Tensor:
    """The determinant of the matrices in the last two axes."""
    tensor = call.tensor(0)
    return _reduced(tensor, [tensor.rank - 2, tensor.rank - 1], keep=False)


RULES: Final[Mapping[str, RowRule]] = {
    **dict.fromkeys(REDUCTIONS, reduce_),
    "ArgMax": arg,
    "ArgMin": arg,
    "CumProd": running,
    "CumSum": running,
    "Det": determinant,
    "Hardmax": softmax,
    "LogSoftmax": softmax,
    "Softmax": softmax,
    "Trilu": on_last_axes,
}
