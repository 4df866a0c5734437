"""What an audit reports: findings, and the verdict over them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from lockstep.errors import printable

Verdict = Literal["clean", "training", "undecided"]


class Finding(BaseModel):
    """One place in a model file that is, or may be, in training mode.

    Attributes:
        node: path of the node, subgraphs and functions included, e.g. ``main/If_3.then/Dropout_0``.
        operator: the operator's name, with its domain where that is not the default one.
        kind: ``training`` (it is in training mode, or random) or ``undecided`` (a mode that depends
            on an input, a computed value, or an operator that the audit does not know).
        problem: what was found there, as a clause.
        advice: what to do about it, as an imperative sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    operator: str
    kind: Literal["training", "undecided"]
    problem: str
    advice: str

    def __str__(self) -> str:
        # Names in a file are whatever its maker liked.
        return printable(f"{self.node} ({self.operator}): {self.problem}. {self.advice}")


class Defect(NamedTuple):
    """What a rule has against an operator, before it is known where the operator stands."""

    kind: Literal["training", "undecided"]
    problem: str
    advice: str

    def at(self, node: str, operator: str) -> Finding:
        """The finding that this is at the node of that path."""
        return Finding(
            node=node, operator=operator, kind=self.kind, problem=self.problem, advice=self.advice
        )


class AuditReport(BaseModel):
    """The audit of one model file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["onnx", "torchscript"]
    operators: int
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """``training`` if anything is in training mode, else ``undecided`` if anything may be."""
        if any(finding.kind == "training" for finding in self.findings):
            return "training"
        return "undecided" if self.findings else "clean"
