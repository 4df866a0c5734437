"""The table of rules: how each operator changes bounds and grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lockstep.proof.exact import accumulation, arithmetic, layout, selection
from lockstep.proof.exact.interval import Interval
from lockstep.proof.exact.operation import Operation

ExactRule = Callable[[Operation], Interval | list[Interval]]

ROUNDED_ONCE: Final[dict[str, ExactRule]] = {
    "Add": arithmetic.add,
    "Sub": arithmetic.subtract,
    "Mul": arithmetic.multiply,
    "Div": arithmetic.divide,
    "Sqrt": arithmetic.root,
    "Cast": arithmetic.cast,
}
"""Operators that IEEE 754 rounds correctly, so that they give the same bits everywhere."""

SUMS: Final[dict[str, ExactRule]] = {
    "MatMul": accumulation.matrix_product,
    "Gemm": accumulation.gemm,
    "ReduceSum": accumulation.reduce_sum,
}
"""Operators whose order of additions is not fixed: no partial sum may round."""

EXACT: Final[dict[str, ExactRule]] = {
    "Neg": arithmetic.negate,
    "Abs": arithmetic.absolute,
    "Round": arithmetic.rounded,
    "Floor": arithmetic.rounded,
    "Ceil": arithmetic.rounded,
    "Mod": arithmetic.modulo,
    "Min": selection.extreme,
    "Max": selection.extreme,
    "Relu": selection.relu,
    "Clip": selection.clip,
    "Where": selection.where,
    "IsNaN": selection.is_nan,
    "Equal": selection.compare,
    "Less": selection.compare,
    "LessOrEqual": selection.compare,
    "Greater": selection.compare,
    "GreaterOrEqual": selection.compare,
    "And": selection.logic,
    "Or": selection.logic,
    "Not": selection.logic,
    "ReduceMax": selection.reduce_extreme,
    "ReduceMin": selection.reduce_extreme,
    "Gather": selection.gather,
    "GatherND": selection.gather_nd,
    "Identity": layout.identity,
    "Reshape": layout.reshape,
    "Transpose": layout.transpose,
    "Unsqueeze": layout.unsqueeze,
    "Squeeze": layout.squeeze,
    "Flatten": layout.flatten,
    "Expand": layout.expand,
    "Concat": layout.concatenate,
    "Split": layout.split,
    "Slice": layout.cut,
    "Shape": layout.shape,
}
"""Operators whose results are exact: they select, move or round to whole numbers."""

RULES: Final = {**ROUNDED_ONCE, **SUMS, **EXACT}
