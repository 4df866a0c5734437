"""The binding of a function: when two calls have inputs with the same facts."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from lockstep.proof.rows.fact import Mixing, RowFact, Tensor, TensorList, tensors_of
from lockstep.proof.rows.number import Number, NumberArray, UnknownNumber


def key_of(fact: RowFact | None) -> Hashable:
    """All facts about a value as a key; an unknown number is equal to itself only."""
    if fact is None:
        return None
    if isinstance(fact, TensorList):
        return tuple(map(_key_of_tensor, fact.items))
    if isinstance(fact, Tensor):
        return _key_of_tensor(fact)
    position = isinstance(fact, Mixing) and fact.position
    return type(fact), fact.node, fact.operator, fact.reason, position


def _key_of_tensor(tensor: Tensor) -> Hashable:
    elements = tensor.elements
    return (
        tensor.dims,
        tensor.rows,
        None if elements is None else (elements.shape, tuple(elements.flat)),
        tensor.follows,
        tensor.uniform,
        tensor.rests_on,
    )


def renewed(
    outputs: Sequence[RowFact | None], inputs: Sequence[RowFact | None]
) -> list[RowFact | None]:
    """The outputs for another call: unknown numbers are new, unless they are in its inputs."""
    known: dict[UnknownNumber, UnknownNumber] = {
        number: number for fact in inputs for number in _unknown_numbers(fact)
    }
    return [_renewed(fact, known) for fact in outputs]


def _unknown_numbers(fact: RowFact | None) -> Iterator[UnknownNumber]:
    for tensor in tensors_of(fact):
        elements = () if tensor.elements is None else tensor.elements.flat
        for number in (*(tensor.dims or ()), *elements):
            if isinstance(number, UnknownNumber):
                yield number


def _renewed(fact: RowFact | None, known: dict[UnknownNumber, UnknownNumber]) -> RowFact | None:
    if isinstance(fact, TensorList):
        return TensorList(tuple(_renewed_tensor(tensor, known) for tensor in fact.items))
    return _renewed_tensor(fact, known) if isinstance(fact, Tensor) else fact


def _renewed_tensor(tensor: Tensor, known: dict[UnknownNumber, UnknownNumber]) -> Tensor:
    def other(number: Number) -> Number:
        if not isinstance(number, UnknownNumber):
            return number
        return known.setdefault(number, UnknownNumber(number.follows))

    dims = None if tensor.dims is None else tuple(map(other, tensor.dims))
    elements: NumberArray | None = tensor.elements
    if elements is not None:
        elements = np.asarray(np.frompyfunc(other, 1, 1)(elements), dtype=object)
    return replace(tensor, dims=dims, elements=elements)
