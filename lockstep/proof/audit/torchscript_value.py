"""What can be told about a value of a TorchScript graph by reading alone."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, eq=False)
class JitValue:
    """What is known of one value before anything runs.

    Attributes:
        known: whether ``payload`` is what the value will be.
        payload: a number, boolean, string, tensor, module or None.
        fixed: whether it comes from the file alone, be it known or not.
        switchable: whether it depends on a module's ``training`` attribute, which ``train()`` and
            ``eval()`` set.
        origin: where it comes from, for messages.
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
    """What an operator makes of values that are known.

    Args:
        kind: its name with its namespace.
        inputs: a value for each of its inputs.
        closed: whether its result depends on nothing but them.

    Returns:
        The value of its first output; operators that are not followed give one that is not known.
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
    """The outputs of a branch: those of the side that is taken, or what both sides agree on."""
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
