"""Operators that make, read or change shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from onnx import TensorProto, numpy_helper

from lockstep.proof.rows.call import Call, RowRule, from_zero
from lockstep.proof.rows.elementwise import ELEMENTS_LIMIT, WIDE_TYPES
from lockstep.proof.rows.fact import (
    FITTING,
    MixingError,
    Placement,
    Tensor,
    UndecidedError,
    shaped,
)
from lockstep.proof.rows.layout import broadcast, transposed
from lockstep.proof.rows.number import (
    Affine,
    Number,
    NumberArray,
    UnknownNumber,
    array_of,
    follows_batch,
    known_product,
    multiply,
    product,
    whole_numbers,
)
from lockstep.proof.rows.reshape import reshaped, squeezed, unsqueezed

# Types in which the numbers that are followed neither wrap nor round.
_FOLLOWED: Final = frozenset({*WIDE_TYPES, TensorProto.BOOL})


def constant_tensor(tensor: TensorProto) -> Tensor:
    """The facts about a tensor in the file; its numbers are followed if it is small."""
    dims = tuple(int(length) for length in tensor.dims)
    outside = tensor.data_location == TensorProto.EXTERNAL
    size = known_product(dims)
    if tensor.data_type not in _FOLLOWED or outside or size is None or size > ELEMENTS_LIMIT:
        return Tensor(dims)
    return Tensor(dims, None, whole_numbers(numpy_helper.to_array(tensor)))


def constant(call: Call) -> Tensor:
    """``Constant``: it has one of several value attributes."""
    if "value" in call.attributes:
        return constant_tensor(call.attribute("value"))
    if "sparse_value" in call.attributes:
        return Tensor(tuple(call.attribute("sparse_value").dims))
    (name,) = call.attributes
    value: Any = call.attribute(name)
    if name in {"value_int", "value_ints", "value_float", "value_floats"}:
        return _array(whole_numbers(np.asarray(value)))
    return Tensor((len(value),) if name == "value_strings" else ())


def _is_short(tensor: Tensor) -> bool:
    """Whether a tensor is small enough for its numbers to be followed."""
    amount = known_product(tensor.shape)
    return amount is not None and amount <= ELEMENTS_LIMIT


def _array(numbers: NumberArray) -> Tensor:
    return Tensor(numbers.shape, None, numbers)


def shape(call: Call) -> Tensor:
    """The lengths of the axes, or of some of them."""
    dims = call.tensor(0).shape
    return _array(array_of(dims[call.attribute("start", 0) : call.attribute("end")]))


def size(call: Call) -> Tensor:
    """The number of elements."""
    return _array(np.asarray(product(call.tensor(0).shape), dtype=object))


def reshape(call: Call) -> Tensor:
    """Give the same memory other axes; 0 copies a length, -1 is the length that is left."""
    tensor = call.tensor(0)
    target = call.numbers(1)
    if not call.attribute("allowzero", 0):
        target = [tensor.shape[k] if length == 0 else length for k, length in enumerate(target)]
    elif 0 in target:
        raise UndecidedError("its target is empty")
    return reshaped(tensor, [_as_length(number, tensor) for number in target])


def _as_length(number: Number, tensor: Tensor) -> Number:
    """A number of a target shape as a length; an unknown one may be 0 or -1, so it is replaced."""
    if not isinstance(number, UnknownNumber) or any(number is length for length in tensor.shape):
        return number
    return UnknownNumber(number.follows)


def flatten(call: Call) -> Tensor:
    """Join the axes before the attribute ``axis``, and the axes from it on."""
    tensor = call.tensor(0)
    axis = call.attribute("axis", 1)
    axis = axis + tensor.rank if axis < 0 else axis
    return reshaped(tensor, [product(tensor.shape[:axis]), product(tensor.shape[axis:])])


def transpose(call: Call) -> Tensor:
    """Reorder the axes; reverse them if no order is given."""
    tensor = call.tensor(0)
    return transposed(tensor, call.attribute("perm", list(reversed(range(tensor.rank)))))


def squeeze(call: Call) -> Tensor:
    """Remove axes of length 1."""
    tensor = call.tensor(0)
    axes = call.axes(tensor.rank)
    if axes is None:
        if tensor.rows or any(isinstance(length, UnknownNumber) for length in tensor.shape):
            raise UndecidedError(
                "it takes away every axis of length 1, the batch's too if it is one"
            )
        axes = tuple(axis for axis, length in enumerate(tensor.shape) if length == 1)
    return squeezed(tensor, axes)


def unsqueeze(call: Call) -> Tensor:
    """Add axes of length 1."""
    tensor = call.tensor(0)
    listed = call.integers(1) if call.has(1) else call.attribute("axes")
    rank = tensor.rank + len(listed)
    return unsqueezed(tensor, [from_zero(axis, rank) for axis in listed])


def expand(call: Call) -> Tensor:
    """Broadcast to a shape, which may name the batch."""
    tensor, target = call.tensor(0), tuple(call.numbers(1))
    if tensor.rows:
        return _expand_rows(tensor, tensor.rows, target)
    rank = max(tensor.rank, len(target))
    own = (1,) * (rank - tensor.rank) + tensor.shape
    wanted = (1,) * (rank - len(target)) + target
    for length, new in zip(own, wanted, strict=True):
        if follows_batch(new) and length != 1:
            raise UndecidedError("it stretches an axis that may not be of length 1 to the batch")
    if any(map(follows_batch, wanted)):
        if tensor.follows:
            raise MixingError("a value derived from the batch size is given to every row")
        fixed = Tensor(tuple(1 if follows_batch(new) else new for new in wanted))
        lengths = zip(wanted, broadcast([tensor, fixed]).shape, strict=True)
        return shaped(tuple(new if follows_batch(new) else length for new, length in lengths))
    whole = broadcast([tensor, Tensor(target)])
    if tensor.elements is None or not _is_short(whole):
        return whole
    sizes = [length for length in whole.shape if isinstance(length, int)]
    return replace(whole, elements=np.broadcast_to(tensor.elements, sizes))


def _expand_rows(tensor: Tensor, rows: Placement, target: tuple[Number, ...]) -> Tensor:
    axis = rows.axis - tensor.rank + len(target)
    if axis >= 0:
        fixed = rows.count is not None and target[axis] == rows.outer * rows.count * rows.inner
        if target[axis] not in {1, rows.length} and not fixed:
            raise UndecidedError("it stretches the batch axis to a length that is not the batch's")
        target = (*target[:axis], 1, *target[axis + 1 :])
    if any(isinstance(length, Affine) for length in target):
        raise MixingError("a second axis of its output is as long as the batch")
    if any(map(follows_batch, target)):
        raise UndecidedError("its target shape follows the batch in a way not followed")
    return broadcast([tensor, Tensor(target)])


def tile(call: Call) -> Tensor:
    """Repeat the tensor along each axis."""
    tensor, repeats = call.tensor(0), call.numbers(1)
    if len(repeats) != tensor.rank:
        raise UndecidedError(FITTING)
    if tensor.rows:
        times = repeats[tensor.rows.axis]
        if any(map(follows_batch, repeats)):
            raise MixingError("it repeats the rows as often as the batch is long")
        if not isinstance(times, int) or times < 1:
            raise UndecidedError("how often it repeats the batch axis is not known")
        rows = replace(tensor.rows, outer=tensor.rows.outer * times)
        return Tensor(_lengths(tensor.shape, repeats), rows)
    if any(map(follows_batch, repeats)):
        if tensor.follows:
            raise MixingError("a value derived from the batch size is given to every row")
        return shaped(_lengths(tensor.shape, repeats))
    known = [times for times in repeats if isinstance(times, int)]
    whole = Tensor(_lengths(tensor.shape, repeats))
    if tensor.elements is None or len(known) < tensor.rank or not _is_short(whole):
        return whole
    return _array(np.tile(tensor.elements, known))


def _lengths(dims: Sequence[Number], times: Sequence[Number]) -> tuple[Number, ...]:
    return tuple(multiply(length, count) for length, count in zip(dims, times, strict=True))


def constant_of_shape(call: Call) -> Tensor:
    """One value, repeated to a shape, which may name the batch."""
    target = tuple(call.numbers(0))
    whole = shaped(target)
    if whole.rows or not _is_short(whole):
        return whole
    value: Number = 0
    if "value" in call.attributes:
        (value,) = whole_numbers(numpy_helper.to_array(call.attribute("value"))).flat
    filled = np.empty([length for length in target if isinstance(length, int)], dtype=object)
    filled.fill(value)
    return _array(filled)


def range_(call: Call) -> Tensor:
    """Numbers in order. If the batch size sets how many, they are the rows' positions."""
    start, limit, step = (call.numbers(index)[0] for index in range(3))
    if follows_batch(start) or follows_batch(limit) or follows_batch(step):
        raise MixingError("it numbers the positions in the batch", position=True)
    if isinstance(start, int) and isinstance(limit, int) and isinstance(step, int) and step:
        numbers = range(start, limit, step)
        if len(numbers) <= ELEMENTS_LIMIT:
            return _array(array_of(numbers))
        return Tensor((len(numbers),))
    return Tensor((UnknownNumber(follows=False),))


def eye_like(call: Call) -> Tensor:
    """The identity matrix of the input's shape."""
    tensor = call.tensor(0)
    if tensor.rows:
        raise MixingError("it gives every row a 1 at the row's own position")
    return Tensor(tensor.dims)


RULES: Final[Mapping[str, RowRule]] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Expand": expand,
    "EyeLike": eye_like,
    "Flatten": flatten,
    "Range": range_,
    "Reshape": reshape,
    "Shape": shape,
    "Size": size,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
