"""What is known of a tensor before anything runs: which of its numbers belong to which row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Self

from lockstep.proof.rows.number import ENDLESS, Affine, Number, NumberArray, follows_batch

FOLDED: Final = -1
FITTING: Final = "the shapes of its inputs do not fit each other"


class MixingError(Exception):
    """Raised by a rule: here a row meets its neighbours, its position or the batch size.

    Attributes:
        position: nothing but positions was made (0, 1, 2, ...), which may yet serve to index.
    """

    def __init__(self, reason: str, *, position: bool = False) -> None:
        super().__init__(reason)
        self.position = position


class UndecidedError(Exception):
    """Raised by a rule: it cannot tell what becomes of the rows here."""


class RandomError(UndecidedError):
    """Raised by a rule: chance has a part here, so not even constants stay constant."""


@dataclass(frozen=True)
class Placement:
    """Where the rows of the batch lie in a tensor.

    The axis has the length ``outer · batch · inner``, and its element
    ``(o · batch + b) · inner + i`` belongs to row ``b``. A plain batch has ``outer = inner = 1``;
    ``[batch, members, n]`` reshaped to ``[batch · members, n]`` has ``inner = members``; a batch
    that is stacked on itself has ``outer = 2``.

    Attributes:
        axis: from 0; ``FOLDED`` where a reshape has cut across the rows, so that they lie along no
            axis: then outer and inner count the elements before and after the batch in memory.
        outer: blocks of the batch.
        inner: neighbours that belong to one row.
        count: rows of a batch whose size the file fixes; a fact of the whole graph.
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
    """A tensor of which every row depends on its own row of the input only, or that has no rows.

    Attributes:
        dims: lengths of its axes, or None where not even their number is known. Only the axis of
            the rows follows the batch.
        rows: where the rows lie, or None: the tensor is the same for every content of the batch.
        elements: its numbers, where it has no rows, is small and they are followed.
        follows: it has no rows, yet its numbers depend (or may) on the batch size.
        uniform: its rows are all the same constant.
        rests_on: operators that the rows came through.
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
            UndecidedError: they are not known.
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
        """It holds one number, so it is the same beside every row."""
        return self.dims is not None and all(length == 1 for length in self.dims)


@dataclass(frozen=True, eq=False)
class TensorList:
    """A sequence of tensors whose number does not depend on the batch."""

    items: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Mixing:
    """A value in which a row depends on more than itself.

    Attributes:
        node: path of the node at which that was found.
        operator: its operator.
        reason: why, as a clause.
        position: it holds positions only.
    """

    node: str
    operator: str
    reason: str
    position: bool = False


@dataclass(frozen=True, eq=False)
class Undecided:
    """A value of which nothing can be told, and the node because of which.

    Attributes:
        node: path of the node; None where a graph input is the reason.
        operator: its operator.
        reason: why, as a clause.
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
    """A tensor of one repeated constant, of a shape that may follow the batch.

    Raises:
        MixingError: two axes follow the batch.
        UndecidedError: an axis follows it in a way that is not ``n · batch``.
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
    """Whether a number stands for the end of any axis."""
    return isinstance(number, int) and number >= ENDLESS
