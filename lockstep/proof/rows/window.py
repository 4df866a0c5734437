"""Operators that slide over images and sequences: the batch axis must be outside their window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.fact import MixingError, Placement, Tensor, UndecidedError
from lockstep.proof.rows.layout import check_beside, same_rows
from lockstep.proof.rows.number import Number, UnknownNumber, divide, follows_batch, multiply


def leading_rows(tensor: Tensor) -> Placement | None:
    """The rows of a tensor, which must lie on its first axis.

    Raises:
        UndecidedError: where they lie on another axis.
    """
    if tensor.rows and tensor.rows.axis != 0:
        raise UndecidedError("the rows do not lie on its first axis")
    return tensor.rows


def conv(call: Call) -> Tensor:
    """Convolution with constant weights."""
    if call.has(2):
        call.constant(2)
    return _convolved(call, call.tensor(0), call.constant(1))


def quantized_conv(call: Call) -> Tensor:
    """Convolution of quantized numbers."""
    for index in range(1, len(call.inputs)):
        if call.has(index):
            call.constant(index)
    if not call.tensor(2).is_single:
        raise UndecidedError("its input has more than one zero point")
    return _convolved(call, call.tensor(0), call.tensor(3))


def integer_conv(call: Call) -> Tensor:
    """Convolution of integers."""
    if call.has(2) and not call.constant(2).is_single:
        raise UndecidedError("its input has more than one zero point")
    if call.has(3):
        call.constant(3)
    return _convolved(call, call.tensor(0), call.constant(1))


def _convolved(call: Call, tensor: Tensor, weights: Tensor) -> Tensor:
    rows = leading_rows(tensor)
    kernel = call.attribute("kernel_shape") or weights.shape[2:]
    spatial = _windows(call, tensor.shape[2:], kernel)
    return Tensor((tensor.shape[0], weights.shape[0], *spatial), rows)


def conv_transpose(call: Call) -> Tensor:
    """Transposed convolution with constant weights."""
    tensor, weights = call.tensor(0), call.constant(1)
    if call.has(2):
        call.constant(2)
    channels = multiply(weights.shape[1], call.attribute("group", 1))
    return Tensor((tensor.shape[0], channels, *_unknown(tensor.rank - 2)), leading_rows(tensor))


def pool(call: Call) -> Tensor:
    """Pooling. MaxPool's optional indices have no rule: they count through the whole batch."""
    tensor = call.tensor(0)
    rows = leading_rows(tensor)
    spatial = _windows(call, tensor.shape[2:], call.attribute("kernel_shape", ()))
    return Tensor((*tensor.shape[:2], *spatial), rows)


def global_pool(call: Call) -> Tensor:
    """Pooling of whole channels."""
    tensor = call.tensor(0)
    rows = leading_rows(tensor)
    return Tensor((*tensor.shape[:2], *(1,) * (tensor.rank - 2)), rows)


def _windows(call: Call, lengths: Sequence[Number], kernel: Sequence[Number]) -> list[Number]:
    """The number of windows on each axis."""
    rank = len(lengths)
    strides = call.attribute("strides") or [1] * rank
    dilations = call.attribute("dilations") or [1] * rank
    pads = call.attribute("pads") or [0] * 2 * rank
    if call.attribute("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        return _unknown(rank)
    return [
        _fitting(length, size, strides[k], dilations[k], (pads[k], pads[k + rank]), call)
        for k, (length, size) in enumerate(zip(lengths, kernel, strict=True))
    ]


def _fitting(
    length: Number, size: Number, stride: int, dilation: int, pads: tuple[int, int], call: Call
) -> Number:
    if not isinstance(length, int) or not isinstance(size, int):
        return UnknownNumber(follows=False)
    room = length + sum(pads) - dilation * (size - 1) - 1
    whole, left_over = divmod(room, stride)
    if not left_over or not call.attribute("ceil_mode", 0):
        return whole + 1
    # Versions differ on whether a window may begin inside the padding.
    begins_inside = (whole + 1) * stride < length + pads[0]
    return whole + 2 if begins_inside else UnknownNumber(follows=False)


def _unknown(amount: int) -> list[Number]:
    return [UnknownNumber(follows=False) for _ in range(amount)]


def resize(call: Call) -> Tensor:
    """Interpolate; the batch axis must keep its length."""
    tensor = call.tensor(0)
    if call.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        raise UndecidedError("it crops by a region that may cut the batch")
    if call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UndecidedError("it chooses the lengths of its axes together")
    axes = [axis % tensor.rank for axis in call.attribute("axes") or range(tensor.rank)]
    by_size = call.has(3)
    scales = 2 if call.operator == "Resize" and call.version > 10 else 1
    targets = call.numbers(3 if by_size else scales)
    dims = list(tensor.shape)
    for axis, target in zip(axes, targets, strict=True):
        if tensor.rows is None or axis != tensor.rows.axis:
            if follows_batch(target):
                raise MixingError("the batch size sets the size of its output")
            dims[axis] = target if by_size else multiply(dims[axis], target)
        elif target != (tensor.rows.length if by_size else 1):
            raise UndecidedError("it may interpolate between rows")
    return Tensor(tuple(dims), tensor.rows)


def grid_sample(call: Call) -> Tensor:
    """Read an image at the places of a grid."""
    image, grid = call.tensor(0), call.tensor(1)
    dims = (image.shape[0], image.shape[1], *grid.shape[1:-1])
    return Tensor(dims, _together(image, grid))


def _together(first: Tensor, second: Tensor) -> Placement | None:
    """The rows of two inputs that share their first axis."""
    left, right = leading_rows(first), leading_rows(second)
    if left and right:
        return same_rows(left, right)
    if left or right:
        check_beside(second if left else first, 0, left or right or Placement(0))
        raise UndecidedError("one of its inputs is a constant of one row")
    return None


def block_to_depth(call: Call) -> Tensor:
    """Move blocks of an image between space and channels."""
    tensor = call.tensor(0)
    rows = leading_rows(tensor)
    size = call.attribute("blocksize")
    square = size * size
    first, channels, *space = tensor.shape
    if call.operator == "DepthToSpace":
        return Tensor((first, divide(channels, square), *(multiply(n, size) for n in space)), rows)
    return Tensor((first, multiply(channels, square), *(divide(n, size) for n in space)), rows)


RULES: Final[Mapping[str, RowRule]] = {
    "AveragePool": pool,
    "Conv": conv,
    "ConvInteger": integer_conv,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": block_to_depth,
    "GlobalAveragePool": global_pool,
    "GlobalLpPool": global_pool,
    "GlobalMaxPool": global_pool,
    "GridSample": grid_sample,
    "LpPool": pool,
    "MaxPool": pool,
    "QLinearConv": quantized_conv,
    "Resize": resize,
    "SpaceToDepth": block_to_depth,
    "Upsample": resize,
}
