"""The rules by which one TorchScript operator is found to be in training mode.

The rules read the operators' schemas: a flag is an argument named ``train`` or ``training``, in any
operator. So operators that are not named here are judged too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lockstep.proof.audit.finding import Defect
from lockstep.proof.audit.torchscript_value import NONE, JitValue

EXPORT_AGAIN: Final = (
    "Call model.eval() before torch.jit.trace or torch.jit.script, pass training=self.training in "
    "every call of F.dropout, and export again."
)
FREEZE: Final = (
    "Freeze the module in eval mode with torch.jit.freeze, which takes the flag out of the file."
)
OWN_STATISTICS: Final = (
    "Train with track_running_stats=True, so that the file holds a mean and variance of its own, "
    "and export again after model.eval()."
)
REMOVE_CHANCE: Final = (
    "Remove the operator, or put it behind `if self.training:`, and freeze the module in eval mode."
)
MAKE_CONSTANT: Final = "Make the flag a constant False, and export again."


@dataclass(frozen=True)
class Operator:
    """One operator with its arguments.

    Attributes:
        name: its name with its namespace, as ``aten::dropout``.
        arguments: a value for each argument of its schema.
        random: whether torch marks it as nondeterministic.
    """

    name: str
    arguments: Mapping[str, JitValue]
    random: bool


def judge(operator: Operator) -> Defect | None:
    """The defect in the mode of an operator, or None."""
    base = operator.name.partition("::")[2].rstrip("_")
    arguments = operator.arguments
    if base in _BATCH_STATISTICS:
        return Defect("training", f"it takes {_BATCH}", EXPORT_AGAIN)
    if base == "instance_norm":
        return _judge_instance_norm(arguments)
    if "batch_norm" in base and arguments.keys() & {"running_mean", "training"}:
        return _judge_batch_norm(arguments)
    if "dropout_p" in arguments:
        return _judge_probability(arguments["dropout_p"])
    if arguments.keys() & {"train", "training"}:
        return _judge_flagged(arguments)
    return _judge_chance(operator)


def guard(defect: Defect) -> Defect:
    """The defect of an operator that runs only once ``train()`` has been called."""
    if defect.kind == "undecided":
        return defect
    problem = f"it runs only while a module's training attribute is true; then {defect.problem}"
    return Defect("undecided", problem, FREEZE)


def _judge_flag(flag: JitValue, consequence: str) -> Defect | None:
    if not flag.known:
        return Defect("undecided", f"its training flag is {flag.origin}", MAKE_CONSTANT)
    if flag.payload:
        return Defect("training", f"its training flag is true, {consequence}", EXPORT_AGAIN)
    if flag.switchable:
        problem = f"its training flag is false, yet depends on {flag.origin}, which train() sets"
        return Defect("undecided", problem, FREEZE)
    return None


def _judge_flagged(arguments: Mapping[str, JitValue]) -> Defect | None:
    if "dropout" in arguments and _is_zero(arguments["dropout"]):
        return None  # recurrent layers use the flag for this dropout only
    flag = arguments["train"] if "train" in arguments else arguments["training"]
    return _judge_flag(flag, "so it drops or draws values at random")


def _judge_batch_norm(arguments: Mapping[str, JitValue]) -> Defect | None:
    """Judge the statistics, which must be in the file, and the flag."""
    for name in ("running_mean", "running_var"):
        statistic = arguments.get(name, NONE)
        if statistic.known and statistic.payload is None:
            return Defect("training", f"it has no {name}, so it takes {_BATCH}", OWN_STATISTICS)
        if not statistic.fixed:
            problem = f"its {name} is {statistic.origin}, not in the file"
            return Defect("training", problem, OWN_STATISTICS)
    if "training" not in arguments:
        return None
    return _judge_flag(arguments["training"], f"so it takes {_BATCH}")


def _judge_instance_norm(arguments: Mapping[str, JitValue]) -> Defect | None:
    """Judge the flag: updating running statistics is training, statistics of a row are not."""
    running_mean = arguments["running_mean"]
    if running_mean.known and running_mean.payload is None:
        return None
    return _judge_flag(arguments["use_input_stats"], "so it updates its running statistics")


def _judge_probability(probability: JitValue) -> Defect | None:
    if not probability.known:
        problem = f"its dropout probability is {probability.origin}"
        return Defect("undecided", problem, "Make the probability a constant 0, and export again.")
    if not _is_zero(probability):
        problem = f"it drops attention weights with probability {probability.payload}"
        return Defect("training", problem, EXPORT_AGAIN)
    if probability.switchable:
        problem = "its dropout probability is 0, yet depends on a training attribute"
        return Defect("undecided", problem, FREEZE)
    return None


def _judge_chance(operator: Operator) -> Defect | None:
    base = operator.name.partition("::")[2]
    if operator.random or "generator" in operator.arguments or _RANDOM.match(base):
        problem = "it draws random numbers, so the same row gets different answers"
        return Defect("training", problem, REMOVE_CHANCE)
    if operator.name.startswith(("aten::", "prim::")) or not _SUSPICIOUS.search(base):
        return None
    problem = "nothing is known about this operator, and its name speaks of training"
    return Defect("undecided", problem, "Replace it by operators of torch, and export again.")


def _is_zero(value: JitValue) -> bool:
    return value.known and isinstance(value.payload, int | float) and value.payload == 0


_BATCH = "the mean and variance of the batch"
# Kernels without a flag: parts of synchronised batch normalisation, and of its update.
_BATCH_STATISTICS = frozenset(
    {
        "batch_norm_stats",
        "batch_norm_update_stats",
        "batch_norm_gather_stats",
        "batch_norm_gather_stats_with_counts",
        "_batch_norm_with_update",
        "_batch_norm_with_update_functional",
    }
)
# The random operators that torch does not mark as nondeterministic.
_RANDOM = re.compile(
    r"_?(rand|randn|randint|randperm|normal|uniform|random|bernoulli|multinomial|binomial|poisson"
    r"|exponential|geometric|cauchy|log_normal|sample_dirichlet|standard_gamma|fused_dropout"
    r"|no_grad_normal|no_grad_uniform)(_like|_functional)?_?$"
)
_SUSPICIOUS = re.compile(r"dropout|batch_?norm|random|^rand|bernoulli|multinomial", re.IGNORECASE)
