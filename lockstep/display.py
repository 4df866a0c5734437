"""Output for the terminal: tables of claims, findings and figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lockstep.artifact.folder import Artifact
from lockstep.proof.audit.finding import AuditReport
from lockstep.proof.certificate import Certificate
from lockstep.proof.claims import Claim, claims

_STYLES = {"holds": "green", "measured only": "yellow", "does not hold": "bold red"}
_VERDICTS = {"clean": "green", "undecided": "yellow", "training": "bold red"}


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table whose cells are shown verbatim, without markup.

    Args:
        columns: the headings.
        rows: each has one cell for each heading.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def certificate_table(certificate: Certificate) -> Table:
    """A certificate as a short table, one row for each claim."""
    table = plain_table(("what", "of", "figures", "by", ""), ())
    for claim in claims(certificate):
        table.add_row(
            Text(claim.claim),
            Text(claim.subject),
            Text(claim.measured),
            Text(claim.basis),
            _verdict(claim),
        )
    return table


def _verdict(claim: Claim) -> Text:
    return Text(claim.verdict, style=_STYLES[claim.verdict])


def audit_text(file: str, report: AuditReport) -> Text:
    """An audit as one line for the verdict, and one for each finding."""
    text = Text(f"{file}: ")
    text.append(report.verdict, style=_VERDICTS[report.verdict])
    text.append(f", {report.operators} operators read")
    for finding in report.findings:
        text.append(f"\n  {finding}")
    return text


def show_sealed(console: Console, artifact: Artifact, certificate: Certificate) -> None:
    """Show what was proved, and where it was written."""
    console.print(certificate_table(certificate))
    console.print(
        f"Proved and written to {artifact.path} (digest {artifact.digest[:12]}…).",
        soft_wrap=True,
        markup=False,
    )
