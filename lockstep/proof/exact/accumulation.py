"""Sums of products: exact if every partial sum of every unit has room in the significand."""

from __future__ import annotations

import numpy as np

from lockstep.proof.exact.arithmetic import same_type
from lockstep.proof.exact.interval import FINEST, Array, Broken, Interval, grid_of, limit, room
from lockstep.proof.exact.layout import moved
from lockstep.proof.exact.operation import Accumulation, Operation


def matrix_product(operation: Operation) -> Interval:
    """``MatMul`` of a batch and a constant, in either order."""
    left, right = operation.operands(2)
    return _product(operation, left, right, None)


def gemm(operation: Operation) -> Interval:
    """``Gemm`` of a batch and a constant, in either order, with alpha = beta = 1."""
    if operation.attribute("alpha", 1.0) != 1.0 or operation.attribute("beta", 1.0) != 1.0:
        raise Broken("its alpha or beta is not 1")
    left, right = operation.value(0), operation.value(1)
    if left is None or right is None:
        raise Broken("it has no rows or no weight")
    left = moved(left, np.transpose) if operation.attribute("transA", 0) else left
    right = moved(right, np.transpose) if operation.attribute("transB", 0) else right
    return _product(operation, left, right, operation.value(2))


def _product(
    operation: Operation, left: Interval, right: Interval, bias: Interval | None
) -> Interval:
    same_type(left, right, *([] if bias is None else [bias]))
    rows, weight = (right, left) if left.constant else (left, right)
    if not weight.constant or not (bias is None or bias.constant):
        raise Broken("its weights are computed, so they have no bound")
    if left.low.ndim < 2 or right.low.ndim < 2:
        raise Broken("its factors must be matrices")
    _refuse_unbounded(rows)
    if weight.grid is None or (bias is not None and bias.grid is None):
        raise Broken("its weights are not all finite")
    terms = weight.low.astype(np.float64)
    low, high = rows.low.astype(np.float64), rows.high.astype(np.float64)
    rising, falling = np.maximum(terms, 0), np.minimum(terms, 0)
    if weight is left:
        size = np.abs(terms) @ rows.size
        grids = rows.grid + grid_of(terms, axis=-1)[..., None]
        low, high = rising @ low + falling @ high, rising @ high + falling @ low
    else:
        size = rows.size @ np.abs(terms)
        grids = rows.grid + grid_of(terms, axis=-2)[..., None, :]
        low, high = low @ rising + high @ falling, high @ rising + low @ falling
    grids = np.broadcast_to(grids, size.shape)
    if bias is not None:
        shift = bias.low.astype(np.float64)
        size = size + np.abs(shift)
        grids = np.minimum(grids, _grids(shift))
        low, high = low + shift, high + shift
    return _summed(operation, rows, (low, high), size, np.broadcast_to(grids, size.shape))


def reduce_sum(operation: Operation) -> Interval:
    """``ReduceSum`` over axes that the file names."""
    value = operation.value(0)
    axes = operation.constant(1)
    if value is None or axes is None:
        raise Broken("the axes that it sums over must be known")
    if not value.floating:
        raise Broken("it sums whole numbers, which may wrap around")
    _refuse_unbounded(value)
    keep = bool(operation.attribute("keepdims", 1))
    over = tuple(int(axis) for axis in axes)
    if any(axis % value.low.ndim == 0 for axis in over):
        raise Broken("it sums over the rows of the batch")
    low, high, size = (
        each.astype(np.float64).sum(axis=over, keepdims=keep)
        for each in (value.low, value.high, value.size)
    )
    return _summed(operation, value, (low, high), size, np.full(size.shape, value.grid))


def _refuse_unbounded(value: Interval) -> None:
    if not value.finite:
        raise Broken("what enters it has no bound: a clip before it must give one")
    if value.grid is None:
        raise Broken("what enters it lies on no grid: it must be rounded before")
    if value.product:
        raise Broken("it sums products that were rounded")


def _grids(bias: Array) -> Array:
    finest: Array = grid_of(bias[..., None], axis=-1)
    return finest


def _summed(
    operation: Operation, entering: Interval, bounds: tuple[Array, Array], size: Array, grids: Array
) -> Interval:
    if bool((grids < FINEST[entering.precision]).any()):
        raise Broken(f"its products may be finer than the smallest number of {entering.dtype}")
    spare = room(size, grids, entering.precision)
    units = spare.reshape(-1)
    tightest = int(units.argmin())
    if not bool((size < limit(grids, entering.precision)).all()):
        raise Broken(
            f"its largest partial sum takes {entering.precision - units[tightest]:.2f} bits, and "
            f"the significand of {entering.dtype} has {entering.precision}",
            unit=tightest,
        )
    operation.accumulations.append(
        Accumulation(
            operation.path, operation.operator, len(units), tightest, float(units[tightest])
        )
    )
    low, high = (bound.astype(entering.dtype) for bound in bounds)
    return Interval(
        low,
        high,
        grid=int(grids.min()),
        reach=size,
        # A zero's sign depends on the first term, and on whether the kernel starts from +0.
        zero=bool(((low <= 0) & (high >= 0)).any()),
        accumulated=True,
    )
