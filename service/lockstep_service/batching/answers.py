"""Answers: the best class of each row, computed once per batch and not once per request."""

from __future__ import annotations

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import Task
from lockstep.engine.engine import Engine, Outputs
from lockstep.errors import MOST_PROBLEMS, InvalidInstances, InvalidValue
from lockstep_service.batching.run_cost import Run

NO_NUMBER = -1


def judged(engine: Engine, task: Task) -> Run:
    """An engine's run with one more output: the most probable class of each row.

    Args:
        engine: locked and proved.
        task: of the network.

    Returns:
        A run whose last output is int64 ``[n]``: the index of the best class, 0 for a number, or −1
        where the row's answer is not finite. NaN may be a valid answer of an imported model
        (``tensors``), so its last output is always 0.
    """
    if task == "tensors":
        return lambda features: (*engine.run(features), np.zeros(len(features), np.int64))

    def run(features: FeatureArray) -> Outputs:
        outputs = engine.run(features)
        best = outputs[0].argmax(axis=1)
        finite = np.isfinite(outputs[0])
        if not finite.all():
            best[~finite.all(axis=1)] = NO_NUMBER
        return (*outputs, best)

    return run


def best_places(answers: Outputs) -> list[int]:
    """The index of each row's best class.

    Args:
        answers: the outputs of a judged run, each ``[n, ...]``.

    Returns:
        ``n`` indices.

    Raises:
        InvalidInstances: naming the instances whose values overflow the network. A label computed
            from NaN would be wrong.
    """
    best: list[int] = answers[-1].tolist()
    if NO_NUMBER in best:
        message = (
            "expected values that the network can answer, got some so far from training that its "
            "arithmetic overflows"
        )
        wrong = [i for i, place in enumerate(best) if place == NO_NUMBER]
        raise InvalidInstances([InvalidValue(i, None, message) for i in wrong[:MOST_PROBLEMS]])
    return best
