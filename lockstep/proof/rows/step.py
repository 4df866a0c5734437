"""One step of the walk: the rule of a node, applied to what is known of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from onnx import AttributeProto, NodeProto

from lockstep.proof.rows.call import Call, Rule
from lockstep.proof.rows.elementwise import ELEMENTS_LIMIT
from lockstep.proof.rows.number import Unknown, follows_batch
from lockstep.proof.rows.table import (
    INDEX_INPUTS,
    KEEPS_FOLDS,
    OLDEST_VERSION,
    READS_SHAPE,
    RULES,
    SHAPE_INPUTS,
    STANDARD_DOMAINS,
)
from lockstep.proof.rows.value import (
    FOLDED,
    Mixing,
    MixingError,
    RandomError,
    Tensor,
    TensorList,
    Undecided,
    UndecidedError,
    Value,
    tensors_of,
)

MISFIT: Final = "its inputs or attributes do not fit it"


@dataclass(frozen=True)
class Site:
    """A node, and how verdicts name it.

    Attributes:
        node: the node.
        domain: domain of its operator, empty for the default one.
        path: its path, e.g. ``main/If_3.then_branch/Softmax_0``.
    """

    node: NodeProto
    domain: str
    path: str

    @property
    def operator(self) -> str:
        """The operator's name, with its domain where that is not the default one."""
        return f"{self.domain}.{self.node.op_type}" if self.domain else self.node.op_type

    @property
    def used(self) -> int:
        """How many outputs are listed, empty names at the end left out."""
        return max((k for k, name in enumerate(self.node.output, 1) if name), default=0)

    def undecided(self, reason: str) -> list[Value]:
        """That nothing can be told of any output."""
        return [Undecided(self.path, self.operator, reason)] * len(self.node.output)

    def mixing(self, reason: str, *, position: bool = False) -> list[Value]:
        """That every output mixes rows."""
        return [Mixing(self.path, self.operator, reason, position)] * len(self.node.output)

    def constants(self) -> list[Value]:
        """That every output is a constant of which nothing more is known."""
        return [Tensor(None)] * len(self.node.output)


def step(
    site: Site,
    given: Sequence[Value | None],
    version: int,
    attributes: Mapping[str, AttributeProto],
) -> list[Value]:
    """What a node makes of its inputs.

    Args:
        site: the node; no function of the model, and without subgraphs.
        given: what is known of its inputs, None where one is left out.
        version: version of its operator set.
        attributes: its attributes.

    Returns:
        One value for each output.
    """
    if site.node.op_type == "CastLike":  # its second input lends its type alone
        given = given[:1]
    rule = RULES.get((site.domain, site.node.op_type))
    if not site.domain and version < OLDEST_VERSION:
        rule = None
    blocked = _blocked(site, given, known=rule is not None)
    if blocked is not None:
        return blocked
    tensors = [tensor for value in given for tensor in tensors_of(value)]
    constant = not any(tensor.rows or tensor.follows for tensor in tensors)
    try:
        if rule is None:
            raise _no_rule(site)
        inputs = tuple(value if isinstance(value, Tensor | TensorList) else None for value in given)
        return _ruled(site, rule, Call(site.node.op_type, version, attributes, inputs, site.used))
    except MixingError as found:
        return _mixing(site, found, tensors)
    except RandomError as found:
        return site.undecided(str(found))
    except UndecidedError as found:
        return site.constants() if constant else site.undecided(str(found))
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # A file that breaks the operator's contract; whether it runs at all is measured elsewhere.
        return site.constants() if constant else site.undecided(MISFIT)


def _no_rule(site: Site) -> UndecidedError:
    """An operator of the standard keeps constants constant; of others not even that is known."""
    reason = "there is no rule for this operator"
    return UndecidedError(reason) if site.domain in STANDARD_DOMAINS else RandomError(reason)


def _ruled(site: Site, rule: Rule, call: Call) -> list[Value]:
    """What a rule says, with what follows from the inputs alone."""
    tensors = [tensor for value in call.inputs for tensor in tensors_of(value)]
    _check_data(call, tensors)
    result = rule(call)
    _check_read(call)
    results = result if isinstance(result, tuple) else (result,)
    missing = Undecided(site.path, site.operator, "this output of it is not followed")
    stamped = [_stamped(result, tensors, site) for result in results]
    return [*stamped, *[missing] * (len(site.node.output) - len(stamped))]


def _mixing(site: Site, found: MixingError, tensors: Sequence[Tensor]) -> list[Value]:
    """That rows are mixed here, unless they are too alike or too few for it to show."""
    carrying = [tensor for tensor in tensors if tensor.rows]
    if any(tensor.rows and tensor.rows.count == 1 for tensor in carrying):
        return site.undecided(f"the file takes one row only, yet {found}")
    sized = any(tensor.follows for tensor in tensors)
    if carrying and not sized and all(tensor.uniform for tensor in carrying):
        return site.undecided(f"the rows are all the same, yet {found}")
    return site.mixing(str(found), position=found.position)


def _blocked(site: Site, given: Sequence[Value | None], *, known: bool) -> list[Value] | None:
    """The outputs, where an input mixes rows already or is undecided."""
    mixing = [(k, value) for k, value in enumerate(given) if isinstance(value, Mixing)]
    undecided = [value for value in given if isinstance(value, Undecided)]
    if mixing:
        index, first = mixing[0]
        if not known:
            return site.undecided("there is no rule for this operator")
        if site.node.op_type in READS_SHAPE:
            return site.undecided(f"it reads the shape of a value made at {first.node}")
        if first.position and INDEX_INPUTS.get(site.node.op_type) == index and len(mixing) == 1:
            return site.undecided("it picks by positions in the batch, which may be the row's own")
        return [first] * len(site.node.output)
    return [undecided[0]] * len(site.node.output) if undecided else None


def _check_data(call: Call, tensors: Sequence[Tensor]) -> None:
    """Require that rows meet no value derived from the batch size, nor are cut across."""
    if not any(tensor.rows for tensor in tensors):
        return
    allowed = SHAPE_INPUTS.get(call.operator, frozenset())
    for index, value in enumerate(call.inputs):
        if index not in allowed and any(tensor.follows for tensor in tensors_of(value)):
            raise MixingError("a value derived from the batch size enters the data")
    folded = any(tensor.rows and tensor.rows.axis == FOLDED for tensor in tensors)
    if folded and call.operator not in KEEPS_FOLDS:
        raise MixingError("a reshape has put parts of different rows beside each other")


def _check_read(call: Call) -> None:
    """Require that the rule has looked at every input that is not constant."""
    for index, value in enumerate(call.inputs):
        if index not in call.read and any(t.rows or t.follows for t in tensors_of(value)):
            raise UndecidedError(f"its input {index} depends on the batch")


def _stamped(result: Tensor | TensorList, inputs: Sequence[Tensor], site: Site) -> Value:
    """The result with what follows from the inputs alone."""
    if isinstance(result, TensorList):
        items = [_stamped_tensor(item, inputs, site) for item in result.items]
        kept = tuple(item for item in items if isinstance(item, Tensor))
        return TensorList(kept) if len(kept) == len(items) else site.undecided(MISFIT)[0]
    return _stamped_tensor(result, inputs, site)


def _stamped_tensor(result: Tensor, inputs: Sequence[Tensor], site: Site) -> Value:
    carrying = [tensor for tensor in inputs if tensor.rows]
    rests_on = frozenset[str]().union(*(tensor.rests_on for tensor in inputs))
    if carrying or result.rows or any(tensor.follows for tensor in inputs):
        rests_on |= {site.operator}
    if result.rows:
        uniform = all(tensor.uniform for tensor in carrying)
        return replace(result, elements=None, follows=False, uniform=uniform, rests_on=rests_on)
    if result.elements is not None and result.elements.size > ELEMENTS_LIMIT:
        result = replace(result, elements=None)
    if result.elements is not None:
        follows = any(map(follows_batch, result.elements.flat))
    elif carrying:
        # No rule turns rows into a constant; if one did, that would be its mistake.
        return site.undecided("the rows were lost")[0]
    else:
        follows = any(tensor.follows for tensor in inputs)
    return replace(result, follows=follows, uniform=False, rests_on=rests_on)


def join(site: Site, then: Value, otherwise: Value) -> Value:
    """What is known of the output of a choice that reading cannot make."""
    if not isinstance(then, Tensor) or not isinstance(otherwise, Tensor):
        blocking = otherwise if isinstance(then, Tensor) else then
        return blocking if isinstance(blocking, Undecided) else site.undecided(_BRANCHES)[0]
    if then.rows != otherwise.rows or then.dims is None or otherwise.dims is None:
        return site.undecided(_BRANCHES)[0]
    if len(then.dims) != len(otherwise.dims):
        return site.undecided(_BRANCHES)[0]
    dims = tuple(
        left if left == right else Unknown(follows=False)
        for left, right in zip(then.dims, otherwise.dims, strict=True)
    )
    return Tensor(
        dims,
        then.rows,
        follows=then.follows or otherwise.follows,
        uniform=False,
        rests_on=then.rests_on | otherwise.rests_on | {site.operator},
    )


_BRANCHES: Final = "its branches treat the rows differently, and which is taken is not known"
