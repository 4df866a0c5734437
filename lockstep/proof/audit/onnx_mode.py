"""The rules by which one ONNX node is found to be in training mode.

Each rule is read off an operator's specification: onnx's ``Changelog.md`` for Dropout (1 to 22) and
BatchNormalization (1 to 15), onnxruntime's ``ContribOperators.md`` for its own domains.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from lockstep.proof.audit.finding import Defect
from lockstep.proof.audit.onnx_provenance import Provenance
from lockstep.proof.graph.site import Site

_Site = Site[Provenance]

EXPORT_AGAIN: Final = (
    "Export the network again after model.eval(), with training=self.training in every call of "
    "F.dropout."
)
OWN_STATISTICS: Final = (
    "Train with track_running_stats=True, so that the file holds a mean and variance of its own, "
    "and export again after model.eval()."
)
MAKE_CONSTANT: Final = "Leave the flag out, or make it a constant False, and export again."
REMOVE_CHANCE: Final = (
    "Remove the operator, or put it behind `if self.training:`, and export after model.eval()."
)


def judge(site: _Site) -> Defect | None:
    """The defect in the mode of a node, or None."""
    if site.domain in _TRAINING_DOMAINS:
        return Defect("training", "it is an operator of training", EXPORT_AGAIN)
    rule = _RULES.get((site.domain, site.node.op_type))
    if rule is not None:
        return rule(site)
    return None if site.domain in _KNOWN_DOMAINS else _judge_name(site)


def _switched_on(site: _Site, attribute: str) -> bool:
    """Whether an integer attribute, 0 by default, is set."""
    return attribute in site.attributes and site.attributes[attribute].i != 0


def _judge_dropout(site: _Site) -> Defect | None:
    """Judge the input ``training_mode`` from opset 12 on; opsets 7 to 11 have inference only.

    A ratio of 0 makes no difference. Such a node drops no value, but it shows that the network was
    exported in training mode, so the rest of the file cannot be trusted.
    """
    if site.version >= 12:
        return _judge_flag(site, 2)
    return None if site.version >= 7 else _judge_is_test(site)


def _judge_batch_normalization(site: _Site) -> Defect | None:
    """Judge ``training_mode`` from opset 14 on, outputs 2 to 5 in 7 to 13, ``is_test`` before."""
    batch = "so it normalises every row with the mean and variance of its batch"
    if site.version >= 14:
        if _switched_on(site, "training_mode"):
            return Defect("training", f"its training_mode is 1, {batch}", EXPORT_AGAIN)
    elif site.version >= 7:
        if any(site.node.output[1:]):
            problem = (
                f"it has more outputs than one, which means training in opset 7 to 13, {batch}"
            )
            return Defect("training", problem, EXPORT_AGAIN)
    elif defect := _judge_is_test(site):
        return defect
    return _judge_statistics(site)


def _judge_statistics(site: _Site) -> Defect | None:
    """Require a mean and variance from the file: others would come from the batch."""
    for name, value in (("mean", site.input(3)), ("variance", site.input(4))):
        if value.source == "computed":
            problem = f"its {name} is computed while the network runs, from the batch it is given"
            return Defect("training", problem, OWN_STATISTICS)
        if value.source in {"input", "carried"}:
            where = _whence(value)
            return Defect("undecided", f"its {name} is {where}, not in the file", OWN_STATISTICS)
    return None


def _judge_is_test(site: _Site) -> Defect | None:
    if _switched_on(site, "is_test"):
        return None
    problem = f"its is_test is not 1, which means training in opset {site.version}"
    return Defect("training", problem, EXPORT_AGAIN)


def _judge_flag(site: _Site, index: int) -> Defect | None:
    value = site.input(index)
    if value.source == "absent":
        return None
    if value.scalar is None:
        return Defect("undecided", f"its training_mode is {_whence(value)}", MAKE_CONSTANT)
    if value.scalar:
        problem = "its training_mode is true, so it drops values at random"
        return Defect("training", problem, EXPORT_AGAIN)
    if value.source == "overridable":
        problem = "its training_mode is false, yet a graph input too, so a caller may set it"
        return Defect("undecided", problem, MAKE_CONSTANT)
    return None


def _judge_random(_: _Site) -> Defect:
    problem = "it draws random numbers, so the same row gets different answers"
    return Defect("training", problem, REMOVE_CHANCE)


def _judge_training_only(_: _Site) -> Defect:
    return Defect("training", "it exists for training only", EXPORT_AGAIN)


def _judge_name(site: _Site) -> Defect | None:
    """Judge an operator of another domain by its name: only a suspicious one is a defect."""
    named = site.node.op_type
    if named == "ATen" and "operator" in site.attributes:  # torch's fallback
        named = site.attributes["operator"].s.decode(errors="replace")
    if not _SUSPICIOUS.search(named):
        return None
    problem = f"nothing is known about the operator {named!r}, and its name speaks of training"
    return Defect("undecided", problem, "Replace it by operators of ONNX, and export again.")


def _whence(value: Provenance) -> str:
    if value.source == "input":
        return f"the graph input {value.origin!r}" if value.origin else "a graph input"
    if value.source == "carried":
        return "a variable of a loop"
    return "computed while the network runs"


_KNOWN_DOMAINS = frozenset({"", "ai.onnx.ml"})
_TRAINING_DOMAINS = frozenset({"ai.onnx.preview.training", "ai.onnx.training"})
_SUSPICIOUS = re.compile(
    r"dropout|batch_?norm|random|(?:^|[:_])rand|bernoulli|multinomial", re.IGNORECASE
)
_RANDOM = (
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
    "Multinomial",
)  # fmt: skip
_RULES: Mapping[tuple[str, str], Callable[[_Site], Defect | None]] = {
    ("", "Dropout"): _judge_dropout,
    ("", "BatchNormalization"): _judge_batch_normalization,
    **{("", name): _judge_random for name in _RANDOM},
    ("com.ms.internal.nhwc", "BatchNormalization"): _judge_batch_normalization,
    ("com.microsoft", "BiasDropout"): lambda site: _judge_flag(site, 4),
    ("com.microsoft", "BitmaskBiasDropout"): lambda site: _judge_flag(site, 4),
    ("com.microsoft", "BitmaskDropout"): lambda site: _judge_flag(site, 2),
    ("com.microsoft", "BatchNormInternal"): _judge_training_only,
    ("com.microsoft", "TrainableDropout"): _judge_training_only,
    ("com.microsoft", "Sampling"): _judge_random,
}
