"""The table of rules, and other facts about operators that a step needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lockstep.proof.rows import (
    contraction,
    elementwise,
    learner,
    lookup,
    normalization,
    recurrent,
    reduction,
    selection,
    sequence,
    shape,
    window,
)
from lockstep.proof.rows.call import RowRule

LEARNER_DOMAIN: Final = "ai.onnx.ml"
STANDARD_DOMAINS: Final = frozenset({"", LEARNER_DOMAIN})
# Before version 7 operators broadcast by an attribute.
OLDEST_VERSION: Final = 7

_FAMILIES: Final = (
    elementwise, shape, selection, lookup, contraction, reduction, normalization, window, recurrent,
    sequence,
)  # fmt: skip
RULES: Final[Mapping[tuple[str, str], RowRule]] = {
    **{
        ("", operator): rule
        for family in _FAMILIES
        for operator, rule in family.RULES.items()
    },
    **{(LEARNER_DOMAIN, operator): rule for operator, rule in learner.RULES.items()},
}  # fmt: skip
# Inputs that give a length or a place, no data: they may be derived from the batch size.
SHAPE_INPUTS: Final[Mapping[str, frozenset[int]]] = {
    "CastLike": frozenset({1}),
    "Dropout": frozenset({1, 2}),
    "Expand": frozenset({1}),
    "OneHot": frozenset({1}),
    "Pad": frozenset({1}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Tile": frozenset({1}),
    "TopK": frozenset({1}),
    "Upsample": frozenset({1}),
}
# Inputs that are indices: a row's own position may be a valid one.
INDEX_INPUTS: Final[Mapping[str, int]] = {
    "Gather": 1, "GatherElements": 1, "GatherND": 1, "ScatterElements": 1, "ScatterND": 1,
}  # fmt: skip
# Operators that may be applied to rows that a reshape has folded.
KEEPS_FOLDS: Final = frozenset(
    {
        *elementwise.UNARY, *elementwise.VARIADIC,
        "Cast", "CastLike", "Dropout", "Reshape", "Shape", "Size",
    }
)  # fmt: skip
READS_SHAPE: Final = frozenset({"ConstantOfShape", "EyeLike", "Shape", "Size"})
