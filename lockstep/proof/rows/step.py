"""One step: the rule of a node, applied to the facts about its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from onnx import NodeProto

from lockstep.proof.graph.site import Site
from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.elementwise import ELEMENTS_LIMIT
from lockstep.proof.rows.fact import (
    FOLDED,
    Mixing,
    MixingError,
    RandomError,
    RowFact,
    Tensor,
    TensorList,
    Undecided,
    UndecidedError,
    tensors_of,
)
from lockstep.proof.rows.number import UnknownNumber, follows_batch
from lockstep.proof.rows.table import (
    INDEX_INPUTS,
    KEEPS_FOLDS,
    OLDEST_VERSION,
    READS_SHAPE,
    RULES,
    SHAPE_INPUTS,
    STANDARD_DOMAINS,
)

_Site = Site[RowFact | None]

MISFIT: Final = "its inputs or attributes do not fit it"


def undecided(site: _Site, reason: str) -> list[RowFact]:
    """The fact, for every output, that nothing is known of it."""
    return [Undecided(site.path, site.operator, reason)] * len(site.node.output)


def mixing(site: _Site, reason: str, *, position: bool = False) -> list[RowFact]:
    """The fact, for every output, that it mixes rows."""
    return [Mixing(site.path, site.operator, reason, position)] * len(site.node.output)


def _constants(site: _Site) -> list[RowFact]:
    """The fact, for every output, that it is a constant."""
    return [Tensor(None)] * len(site.node.output)


def _used(node: NodeProto) -> int:
    """The number of outputs that are listed, without empty names at the end."""
    return max((k for k, name in enumerate(node.output, 1) if name), default=0)


def step(site: _Site) -> list[RowFact]:
    """Derive the facts about a node's outputs.

    Args:
        site: the node. It has no subgraphs, and is no call of a function of the model.

    Returns:
        The fact about each output.
    """
    given = site.inputs
    if site.node.op_type == "CastLike":  # only the type of its second input is used
        given = given[:1]
    rule = RULES.get((site.domain, site.node.op_type))
    if not site.domain and site.version < OLDEST_VERSION:
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
        return _ruled(
            site,
            rule,
            Call(site.node.op_type, site.version, site.attributes, inputs, _used(site.node)),
        )
    except MixingError as found:
        return _mixing(site, found, tensors)
    except RandomError as found:
        return undecided(site, str(found))
    except UndecidedError as found:
        return _constants(site) if constant else undecided(site, str(found))
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # The file breaks the operator's contract; the measured tests show whether it runs at all.
        return _constants(site) if constant else undecided(site, MISFIT)


def _no_rule(site: _Site) -> UndecidedError:
    """A standard operator without a rule keeps constants constant; others may be random."""
    reason = "there is no rule for this operator"
    return UndecidedError(reason) if site.domain in STANDARD_DOMAINS else RandomError(reason)


def _ruled(site: _Site, rule: RowRule, call: Call) -> list[RowFact]:
    """Apply a rule, and add the facts that follow from the inputs alone."""
    tensors = [tensor for value in call.inputs for tensor in tensors_of(value)]
    _check_data(call, tensors)
    result = rule(call)
    _check_read(call)
    results = result if isinstance(result, tuple) else (result,)
    missing = Undecided(site.path, site.operator, "this output of it is not followed")
    stamped = [_stamped(result, tensors, site) for result in results]
    return [*stamped, *[missing] * (len(site.node.output) - len(stamped))]


def _mixing(site: _Site, found: MixingError, tensors: Sequence[Tensor]) -> list[RowFact]:
    """The fact that rows are mixed, or undecided if the rows are all the same or only one."""
    carrying = [tensor for tensor in tensors if tensor.rows]
    if any(tensor.rows and tensor.rows.count == 1 for tensor in carrying):
        return undecided(site, f"the file takes one row only, yet {found}")
    sized = any(tensor.follows for tensor in tensors)
    if carrying and not sized and all(tensor.uniform for tensor in carrying):
        return undecided(site, f"the rows are all the same, yet {found}")
    return mixing(site, str(found), position=found.position)


def _blocked(site: _Site, given: Sequence[RowFact | None], *, known: bool) -> list[RowFact] | None:
    """The outputs if an input mixes rows already or is undecided; None otherwise."""
    mixed = [(k, value) for k, value in enumerate(given) if isinstance(value, Mixing)]
    unsure = [value for value in given if isinstance(value, Undecided)]
    if mixed:
        index, first = mixed[0]
        if not known:
            return undecided(site, "there is no rule for this operator")
        if site.node.op_type in READS_SHAPE:
            return undecided(site, f"it reads the shape of a value made at {first.node}")
        if first.position and INDEX_INPUTS.get(site.node.op_type) == index and len(mixed) == 1:
            return undecided(site, "it picks by positions in the batch, which may be the row's own")
        return [first] * len(site.node.output)
    return [unsure[0]] * len(site.node.output) if unsure else None


def _check_data(call: Call, tensors: Sequence[Tensor]) -> None:
    """Require that rows meet no value derived from the batch size, and are not folded."""
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
    """Require that the rule has read every input that is not constant."""
    for index, value in enumerate(call.inputs):
        if index not in call.read and any(t.rows or t.follows for t in tensors_of(value)):
            raise UndecidedError(f"its input {index} depends on the batch")


def _stamped(result: Tensor | TensorList, inputs: Sequence[Tensor], site: _Site) -> RowFact:
    """The result with the facts that follow from the inputs alone."""
    if isinstance(result, TensorList):
        items = [_stamped_tensor(item, inputs, site) for item in result.items]
        kept = tuple(item for item in items if isinstance(item, Tensor))
        return TensorList(kept) if len(kept) == len(items) else undecided(site, MISFIT)[0]
    return _stamped_tensor(result, inputs, site)


def _stamped_tensor(result: Tensor, inputs: Sequence[Tensor], site: _Site) -> RowFact:
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
        # No rule may turn rows into a constant: this one has a bug.
        return undecided(site, "the rows were lost")[0]
    else:
        follows = any(tensor.follows for tensor in inputs)
    return replace(result, follows=follows, uniform=False, rests_on=rests_on)


def join(site: _Site, then: RowFact, otherwise: RowFact) -> RowFact:
    """The fact about an output of an If whose branch is not known."""
    if not isinstance(then, Tensor) or not isinstance(otherwise, Tensor):
        blocking = otherwise if isinstance(then, Tensor) else then
        return blocking if isinstance(blocking, Undecided) else undecided(site, _BRANCHES)[0]
    if then.rows != otherwise.rows or then.dims is None or otherwise.dims is None:
        return undecided(site, _BRANCHES)[0]
    if len(then.dims) != len(otherwise.dims):
        return undecided(site, _BRANCHES)[0]
    dims = tuple(
        left if left == right else UnknownNumber(follows=False)
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
