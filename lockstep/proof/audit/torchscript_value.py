"""The facts about a value in a TorchScript graph, found without running it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, eq=False)
class JitValue:
    """The facts about one value.

    Attributes:
        known: whether ``payload`` is the value at run time.
        payload: a number, boolean, string, tensor, module or None.
        fixed: whether it depends on the file alone, known or not.
        switchable: whether it depends on a module's ``training`` attribute, which ``train()`` and
            ``eval()`` set.
        origin: a phrase for messages that says where it comes from.
    """

    known: bool = False
    payload: object = None
    fixed: bool = False
    switchable: bool = False
    origin: str = "computed while the network runs"


NONE: Final = JitValue(known=True, fixed=True)

_FOLDS: Mapping[str, Callable[..., object]] = {
    "aten::Bool": bool,
    "aten::Float": float,
    "aten::__not__": operator.not_,
    "aten::__and__": operator.and_,
    "aten::__or__": operator.or_,
    "aten::__xor__": operator.xor,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::lt": operator.lt,
    "aten::le": operator.le,
    "aten::gt": operator.gt,
    "aten::ge": operator.ge,
    "aten::mul": operator.mul,
}


def fold(kind: str, inputs: Sequence[JitValue], *, closed: bool) -> JitValue:
    """Derive the facts about an operator's first output from those about its inputs.

    Args:
        kind: its name with its namespace.
        inputs: a value for each of its inputs.
        closed: whether its result depends on its inputs only.

    Returns:
        The value of its first output. It is not known for operators without a rule.
    """
    unknown = JitValue(
        fixed=closed and all(value.fixed for value in inputs),
        switchable=any(value.switchable for value in inputs),
    )
    if not inputs or not all(value.known for value in inputs):
        return unknown
    payloads = [value.payload for value in inputs]
    if kind == "prim::unchecked_cast":
        return inputs[0]
    if kind in {"aten::__is__", "aten::__isnot__"}:
        same = (payloads[0] is None) == (payloads[1] is None)
        return replace(unknown, known=True, payload=same if kind == "aten::__is__" else not same)
    if kind not in _FOLDS or not all(isinstance(each, bool | int | float) for each in payloads):
        return unknown
    origin = next((value.origin for value in inputs if value.switchable), unknown.origin)
    return replace(unknown, known=True, payload=_FOLDS[kind](*payloads), origin=origin)


def join(
    condition: JitValue, then: Sequence[JitValue], otherwise: Sequence[JitValue]
) -> list[JitValue]:
    """The outputs of an If: those of the branch that is taken, or those on which both agree."""
    if condition.known:
        taken = then if condition.payload else otherwise
        return [
            replace(value, switchable=True, origin=condition.origin)
            if condition.switchable
            else value
            for value in taken
        ]
    return [_agreed(left, right, condition) for left, right in zip(then, otherwise, strict=True)]


def _agreed(left: JitValue, right: JitValue, condition: JitValue) -> JitValue:
    switchable = left.switchable or right.switchable or condition.switchable
    fixed = left.fixed and right.fixed and condition.fixed
    if left.known and right.known and _same(left.payload, right.payload):
        return replace(left, switchable=switchable, fixed=fixed)
    return JitValue(fixed=fixed, switchable=switchable)


def _same(left: object, right: object) -> bool:
    if isinstance(left, bool | int | float | str) and isinstance(right, bool | int | float | str):
        return left == right
    return left is right
