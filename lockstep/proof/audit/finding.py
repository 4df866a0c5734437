"""The report of an audit: findings, and the verdict."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from lockstep.errors import printable

Verdict = Literal["clean", "training", "undecided"]


class Finding(BaseModel):
    """One place in a model file that is, or may be, in training mode.

    Attributes:
        node: path of the node, subgraphs and functions included, e.g. ``main/If_3.then/Dropout_0``.
        operator: the operator's name, with its domain unless that is the default one.
        kind: ``training`` (it is in training mode, or random) or ``undecided`` (a mode that depends
            on an input, a computed value, or an operator that the audit does not know).
        problem: as a clause.
        advice: the remedy, as an imperative sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    operator: str
    kind: Literal["training", "undecided"]
    problem: str
    advice: str

    def __str__(self) -> str:
        # Names come from the untrusted file.
        return printable(f"{self.node} ({self.operator}): {self.problem}. {self.advice}")


class Defect(NamedTuple):
    """A problem that a rule found in an operator, without the operator's place."""

    kind: Literal["training", "undecided"]
    problem: str
    advice: str

    def at(self, node: str, operator: str) -> Finding:
        """This defect as a finding at a node."""
        return Finding(
            node=node, operator=operator, kind=self.kind, problem=self.problem, advice=self.advice
        )


class AuditReport(BaseModel):
    """The audit of one model file.

    Attributes:
        format: ``onnx`` or ``torchscript``.
        operators: the number of nodes that were read.
        findings: in the order in which they were found.
    """

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
