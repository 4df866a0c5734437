"""Parity: two forms of the same network on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lockstep.artifact.manifest import Precision, Task

RELATIVE_BOUND = 1e-5


class Parity(BaseModel):
    """The distance between two forms of the network on the golden rows.

    Attributes:
        left: one form, e.g. ``eager``.
        right: the other, e.g. ``onnx``.
        output: name of the output.
        rows: how many rows were compared.
        max_abs: largest absolute difference.
        max_ulp: largest distance in units in the last place; None for outputs that are not floats.
        bound: the largest ``max_abs`` that is allowed.
        holds: whether ``max_abs`` is within the bound, or the outputs are equal where they must be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    left: str
    right: str
    output: str
    rows: int
    max_abs: float
    max_ulp: int | None
    bound: float
    holds: bool


def compare(
    left: str,
    right: str,
    output: str,
    answers: tuple[NDArray[Any], NDArray[Any]],
    task: Task,
    precision: Precision = "float32",
) -> Parity:
    """Compare one output of two forms.

    The bound is 1e-5 × the output's scale. The scale is 1 for probabilities. For a number it is the
    standard deviation of the golden outputs; see :func:`output_scale`. Outputs that are not floats
    (labels, strings) must be equal. In exact precision the bits must be equal too.

    Args:
        left: name of the form that is the reference.
        right: name of the other.
        output: name of the output.
        answers: both forms' rows, ``[n, ...]`` each.
        task: of the network.
        precision: of the network; ``exact`` allows no difference, not even between 0 and −0.
    """
    a, b = answers
    if a.dtype.kind != "f" or b.dtype.kind != "f" or a.shape != b.shape:
        equal = a.shape == b.shape and bool(np.array_equal(a.astype(str), b.astype(str)))
        distance = 0.0 if equal else float("inf")
        return _parity(left, right, output, len(a), (distance, None, 0.0))
    scale = 1.0 if task == "classification" else output_scale(a)
    same_nan = np.isnan(a) == np.isnan(b)
    with np.errstate(invalid="ignore"):  # infinity - infinity: the next statement makes it 0
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    difference = np.where(np.isnan(a) & np.isnan(b) | (a == b), 0.0, difference)
    max_abs = float(difference.max()) if bool(same_nan.all()) else float("inf")
    if precision == "exact":
        equal = np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
        parity = _parity(left, right, output, len(a), (max_abs, max_ulp(a, b), 0.0))
        return parity.model_copy(update={"holds": equal and a.dtype == b.dtype})
    return _parity(left, right, output, len(a), (max_abs, max_ulp(a, b), RELATIVE_BOUND * scale))


def _parity(
    left: str, right: str, output: str, rows: int, figures: tuple[float, int | None, float]
) -> Parity:
    max_abs, ulp, bound = figures
    return Parity(
        left=left,
        right=right,
        output=output,
        rows=rows,
        max_abs=min(max_abs, float(np.finfo(np.float64).max)),  # JSON has no infinity
        max_ulp=ulp,
        bound=bound,
        holds=max_abs <= bound,
    )


def output_scale(reference: NDArray[Any]) -> float:
    """The scale of an output: the standard deviation of its finite values.

    If that is 0, it is their largest absolute value; if that is 0 too, or no value is finite, 1.

    Args:
        reference: floats of any shape.
    """
    finite = reference[np.isfinite(reference)].astype(np.float64)
    if not finite.size:
        return 1.0
    return float(finite.std()) or float(np.abs(finite).max()) or 1.0


def max_ulp(left: NDArray[Any], right: NDArray[Any]) -> int:
    """The largest distance between two float arrays in units in the last place.

    The bits of positive floats, read as integers, have the same order as the floats. Negative ones
    are mirrored below zero. So a difference of integers counts the floats in between.
    """
    if left.dtype != right.dtype or left.size == 0:
        return 0 if left.size == 0 else int(np.iinfo(np.int64).max)
    integers = {2: np.int16, 4: np.int32, 8: np.int64}[left.dtype.itemsize]
    order = [_ordered(np.ascontiguousarray(array).view(integers)) for array in (left, right)]
    both = np.isfinite(left) & np.isfinite(right)
    return int(np.abs(order[0][both] - order[1][both]).max(initial=0))


def _ordered(bits: NDArray[Any]) -> NDArray[Any]:
    # Python integers for float64, whose distance can exceed 64 bits.
    wide = bits.astype(np.int64 if bits.dtype.itemsize < 8 else object)
    lowest = int(np.iinfo(bits.dtype).min)
    return np.where(bits < 0, lowest - wide, wide)
