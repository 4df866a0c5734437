"""The argument of a rule: one operator with its inputs and attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import AttributeProto

from lockstep.proof.rows.fact import Tensor, TensorList, UndecidedError
from lockstep.proof.rows.number import Number, UnknownNumber


@dataclass(frozen=True)
class Call:
    """An operator with its attributes and the facts about its inputs.

    Attributes:
        operator: its type.
        version: version of its operator set.
        attributes: by name, including those that a function's call binds.
        inputs: the fact about each input; None if it is not given.
        outputs: the number of outputs that are listed.
        read: indices of the inputs that the rule has read so far.
    """

    operator: str
    version: int
    attributes: Mapping[str, AttributeProto]
    inputs: tuple[Tensor | TensorList | None, ...]
    outputs: int
    read: set[int] = field(default_factory=set, compare=False)

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def tensor(self, index: int) -> Tensor:
        """An input that must be a tensor.

        Raises:
            UndecidedError: where it is absent or not a tensor.
        """
        given = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(given, Tensor):
            raise UndecidedError(f"its input {index} is no tensor")
        self.read.add(index)
        return given

    def listed(self) -> TensorList:
        """The first input, which must be a list of tensors.

        Raises:
            UndecidedError: where it is not.
        """
        given = self.inputs[0] if self.inputs else None
        if not isinstance(given, TensorList):
            raise UndecidedError("its input is no list whose length is known")
        self.read.add(0)
        return given

    def tensors(self) -> list[Tensor]:
        """All inputs that are given, in order."""
        return [self.tensor(index) for index in range(len(self.inputs)) if self.has(index)]

    def constant(self, index: int) -> Tensor:
        """An input that must not carry rows.

        Raises:
            UndecidedError: where it does.
        """
        tensor = self.tensor(index)
        if tensor.rows:
            raise UndecidedError(f"its input {index} depends on the batch")
        return tensor

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value, strings decoded."""
        if name not in self.attributes:
            return default
        value = onnx.helper.get_attribute_value(self.attributes[name])
        return value.decode() if isinstance(value, bytes) else value

    def numbers(self, index: int) -> list[Number]:
        """The numbers in an input, such as a shape; those that are not followed are unknown."""
        tensor = self.constant(index)
        if tensor.elements is not None:
            return list(tensor.elements.flat)
        (length,) = tensor.shape or (1,)
        if not isinstance(length, int):
            raise UndecidedError(f"the length of its input {index} is not known")
        return [UnknownNumber(tensor.follows) for _ in range(length)]

    def integers(self, index: int) -> list[int]:
        """The numbers in an input that must be known.

        Raises:
            UndecidedError: where they are not, or depend on the batch size.
        """
        numbers = self.numbers(index)
        known = [number for number in numbers if isinstance(number, int)]
        if len(known) < len(numbers):
            raise UndecidedError(f"its input {index} is not a known constant")
        return known

    def axis(self, rank: int, default: int | None = None) -> int:
        """The attribute ``axis``, counted from 0."""
        axis = self.attribute("axis", default)
        if axis is None:
            raise UndecidedError("it names no axis")
        return from_zero(axis, rank)

    def axes(self, rank: int, index: int = 1) -> tuple[int, ...] | None:
        """The axes given as an attribute or an input, counted from 0; None if none are given."""
        listed = self.integers(index) if self.has(index) else self.attribute("axes")
        return None if listed is None else tuple(from_zero(axis, rank) for axis in listed)


Result = Tensor | TensorList | tuple[Tensor, ...]
RowRule = Callable[[Call], Result]


def from_zero(axis: int, rank: int) -> int:
    """An axis counted from 0.

    Raises:
        UndecidedError: where there is no such axis.
    """
    if not -rank <= axis < rank:
        raise UndecidedError(f"it names axis {axis} of an input with {rank} axes")
    return axis % rank
