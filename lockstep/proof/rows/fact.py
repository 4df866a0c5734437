"""The facts about a tensor: which of its numbers belong to which row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Self

from lockstep.proof.rows.number import ENDLESS, Affine, Number, NumberArray, follows_batch

FOLDED: Final = -1
FITTING: Final = "the shapes of its inputs do not fit each other"


class MixingError(Exception):
    """Raised by a rule: here a row depends on its neighbours, its position or the batch size.

    Attributes:
        position: whether the result holds only positions (0, 1, ...), which may be a valid index.
    """

    def __init__(self, reason: str, *, position: bool = False) -> None:
        super().__init__(reason)
        self.position = position


class UndecidedError(Exception):
    """Raised by a rule: it cannot decide where the rows are after this operator."""


class RandomError(UndecidedError):
    """Raised by a rule: the operator is random, so even constant inputs give no constant."""


@dataclass(frozen=True)
class Placement:
    """The position of the batch's rows in a tensor.

    The axis has the length ``outer · batch · inner``, and its element
    ``(o · batch + b) · inner + i`` belongs to row ``b``. Examples:

    - a plain batch: ``outer = inner = 1``;
    - ``[batch, members, n]`` reshaped to ``[batch · members, n]``: ``inner = members``;
    - a batch that is concatenated with itself: ``outer = 2``.

    Attributes:
        axis: from 0; ``FOLDED`` if a reshape has cut across the rows, so that they lie along no
            axis. Then outer and inner count the elements before and after the batch in memory.
        outer: the number of whole batches along the axis.
        inner: the number of adjacent elements that belong to one row.
        count: the batch size, if the file fixes it; the same in the whole graph.
    """

    axis: int
    outer: int = 1
    inner: int = 1
    count: int | None = field(default=None, compare=False)

    @property
    def length(self) -> Affine:
        """Length of the axis."""
        return Affine(self.outer * self.inner)

    def at(self, axis: int) -> Self:
        """The same rows on another axis."""
        return replace(self, axis=axis)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor without rows, or one whose rows depend on their own row of the input only.

    Attributes:
        dims: lengths of its axes; None if not even their number is known. Only the axis of the
            rows follows the batch.
        rows: the position of the rows; None if the tensor does not depend on the batch's content.
        elements: its numbers, if it has no rows, is small and they are followed.
        follows: whether it has no rows, but its numbers may depend on the batch size.
        uniform: whether its rows are all the same constant.
        rests_on: the operators through which the rows came.
    """

    dims: tuple[Number, ...] | None
    rows: Placement | None = None
    elements: NumberArray | None = None
    follows: bool = False
    uniform: bool = False
    rests_on: frozenset[str] = frozenset()

    @property
    def shape(self) -> tuple[Number, ...]:
        """Lengths of the axes.

        Raises:
            UndecidedError: where they are not known.
        """
        if self.dims is None:
            raise UndecidedError("the shape of one of its inputs is not known")
        return self.dims

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def is_single(self) -> bool:
        """Whether it holds one number, so that it is the same for every row."""
        return self.dims is not None and all(length == 1 for length in self.dims)


@dataclass(frozen=True, eq=False)
class TensorList:
    """A sequence of tensors whose number does not depend on the batch."""

    items: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Mixing:
    """A value in which a row depends on more than itself.

    Attributes:
        node: path of the node that is the reason.
        operator: of that node.
        reason: as a clause.
        position: whether it holds positions only.
    """

    node: str
    operator: str
    reason: str
    position: bool = False


@dataclass(frozen=True, eq=False)
class Undecided:
    """A value of which nothing is known, and the reason.

    Attributes:
        node: path of the node that is the reason; None if a graph input is.
        operator: of that node.
        reason: as a clause.
    """

    node: str | None
    operator: str | None
    reason: str


RowFact = Tensor | TensorList | Mixing | Undecided


def tensors_of(value: RowFact | None) -> tuple[Tensor, ...]:
    """The tensors in a value."""
    if isinstance(value, Tensor):
        return (value,)
    return value.items if isinstance(value, TensorList) else ()


def shaped(dims: tuple[Number, ...]) -> Tensor:
    """A tensor of one repeated constant, whose shape may follow the batch.

    Raises:
        MixingError: where two axes follow the batch.
        UndecidedError: where the length of an axis depends on the batch but is not ``n · batch``.
    """
    following = [axis for axis, length in enumerate(dims) if follows_batch(length)]
    if not following:
        return Tensor(dims)
    if len(following) > 1:
        raise MixingError("two axes of its output are as long as the batch")
    length = dims[following[0]]
    if not isinstance(length, Affine) or length.offset or length.slope < 0:
        raise UndecidedError("the length of its output follows the batch in a way not followed")
    return Tensor(dims, Placement(following[0], inner=length.slope), uniform=True)


def is_endless(number: Number) -> bool:
    """Whether a number means the end of an axis, whatever its length."""
    return isinstance(number, int) and number >= ENDLESS
