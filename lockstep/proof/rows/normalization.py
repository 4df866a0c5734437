"""Operators that normalize: by constants, by the row itself, or by the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.fact import MixingError, Tensor, UndecidedError
from lockstep.proof.rows.layout import broadcast
from lockstep.proof.rows.reduction import check_along


def lp_normalization(call: Call) -> Tensor:
    """Divide by the norm of an axis."""
    tensor = call.tensor(0)
    check_along(tensor.rows, [call.axis(tensor.rank, -1)])
    return Tensor(tensor.dims, tensor.rows)


def batch_normalization(call: Call) -> tuple[Tensor, ...]:
    """Scale and shift channels by constants, unless it is in training mode.

    Raises:
        MixingError: where it takes mean and variance from the batch.
    """
    tensor = call.tensor(0)
    # Up to version 13, more than one listed output means training mode.
    training = call.attribute("training_mode", 0) or (call.version < 14 and call.outputs > 1)
    if training and tensor.rows:
        raise MixingError("it takes mean and variance from the batch (training mode)")
    for index in range(1, 5):
        call.constant(index)
    if tensor.rows and tensor.rows.axis == 1:
        raise UndecidedError("its channels lie along the batch axis")
    return (Tensor(tensor.dims, tensor.rows),)


def instance_normalization(call: Call) -> Tensor:
    """Normalize every channel, or group of channels, of every instance by itself."""
    tensor = call.tensor(0)
    call.constant(1), call.constant(2)
    check_along(tensor.rows, range(2, tensor.rank))
    if tensor.rows and tensor.rows.axis == 1:
        raise UndecidedError("its channels lie along the batch axis")
    return Tensor(tensor.dims, tensor.rows)


def layer_normalization(call: Call) -> tuple[Tensor, ...]:
    """Normalize all axes from one on."""
    tensor = call.tensor(0)
    axis = call.axis(tensor.rank, -1)
    check_along(tensor.rows, range(axis, tensor.rank))
    whole = broadcast([tensor, *call.tensors()[1:]])
    dims = tuple(1 if k >= axis else length for k, length in enumerate(tensor.shape))
    statistic = Tensor(dims, tensor.rows)
    return whole, statistic, statistic


def mean_variance_normalization(call: Call) -> Tensor:
    """Normalize over some axes; by default over 0, 2 and 3."""
    tensor = call.tensor(0)
    axes = call.attribute("axes", [0, 2, 3])
    check_along(tensor.rows, [axis % tensor.rank for axis in axes])
    return Tensor(tensor.dims, tensor.rows)


def local_response(call: Call) -> Tensor:
    """Normalize by neighbouring channels."""
    tensor = call.tensor(0)
    check_along(tensor.rows, [1])
    return Tensor(tensor.dims, tensor.rows)


def dynamic_quantize(call: Call) -> Tensor:
    """Quantize by the range of the whole input."""
    tensor = call.tensor(0)
    if tensor.rows:
        raise MixingError("it takes its scale from the range of the whole batch")
    return Tensor(None)


RULES: Final[Mapping[str, RowRule]] = {
    "BatchNormalization": batch_normalization,
    "DynamicQuantizeLinear": dynamic_quantize,
    "GroupNormalization": instance_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": local_response,
    "LayerNormalization": layer_normalization,
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": layer_normalization,
}
