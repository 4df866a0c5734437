"""Claims: a certificate as a short table for people, one row for each thing that was proved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lockstep.artifact.folder import ONNX
from lockstep.proof.certificate import Certificate, EngineProof


@dataclass(frozen=True)
class Claim:
    """One row of the table.

    Attributes:
        subject: the file, output, pair of forms or engine that the claim is about.
        claim: the claim in a few words.
        measured: the figures.
        holds: whether the claim holds; None if reading the file could not decide it. Then only the
            measured test counts.
        proved: whether it was proved for every row by reading the file. Else it was measured on the
            rows and the machine of the certificate.
    """

    subject: str
    claim: str
    measured: str
    holds: bool | None
    proved: bool = False

    @property
    def basis(self) -> str:
        """``proved`` or ``measured``."""
        return "proved" if self.proved and self.holds is not None else "measured"

    @property
    def verdict(self) -> str:
        """``holds``, ``does not hold`` or ``measured only``."""
        if self.holds is None:
            return "measured only"
        return "holds" if self.holds else "does not hold"


def claims(certificate: Certificate) -> tuple[Claim, ...]:
    """All claims of a certificate, in the order of the proof."""
    return (
        *_audit(certificate),
        *_rows(certificate),
        *_exactness(certificate),
        *_difference(certificate),
        *_parities(certificate),
        *(claim for name, proof in certificate.engines.items() for claim in _engine(name, proof)),
    )


def _audit(certificate: Certificate) -> Iterator[Claim]:
    for file, report in certificate.audit.items():
        found = f"; {len(report.findings)} findings" if report.findings else ""
        measured = f"{report.verdict}, {report.operators} operators read{found}"
        yield Claim(file, "inference mode", measured, report.verdict == "clean", proved=True)


def _rows(certificate: Certificate) -> Iterator[Claim]:
    holds = {"independent": True, "mixing": False, "undecided": None}
    for verdict in certificate.rows:
        measured = f"read through {', '.join(verdict.rests_on)}"
        if verdict.verdict != "independent":
            measured = verdict.reason
        yield Claim(
            verdict.output, "each row on its own", measured, holds[verdict.verdict], proved=True
        )


def _exactness(certificate: Certificate) -> Iterator[Claim]:
    exactness = certificate.exactness
    if exactness is None:
        return
    holds = exactness.verdict == "exact"
    yield Claim(ONNX, "the same bits on every processor", str(exactness), holds, proved=True)


def _difference(certificate: Certificate) -> Iterator[Claim]:
    apart = certificate.difference
    if apart is None:
        return
    measured = f"max abs {apart.max_abs:.2g} on {apart.rows} test rows, bound {apart.bound:.2g}"
    yield Claim(f"{apart.left} ≈ {apart.right}", "the fitted network", measured, apart.holds)


def _parities(certificate: Certificate) -> Iterator[Claim]:
    several = len({parity.output for parity in certificate.parity}) > 1
    for parity in certificate.parity:
        ulp = "" if parity.max_ulp is None else f", {parity.max_ulp} ulp"
        measured = f"max abs {parity.max_abs:.2g}{ulp}, bound {parity.bound:.2g}"
        output = f" in {parity.output}" if several else ""
        yield Claim(f"{parity.left} = {parity.right}{output}", "parity", measured, parity.holds)


def _engine(name: str, proof: EngineProof) -> Iterator[Claim]:
    plain = proof.determinism_unoptimised
    also = f", and {plain.runs} with optimisations off" if plain is not None else ""
    yield Claim(
        name,
        "deterministic",
        f"{proof.determinism.runs} runs of {proof.determinism.rows} rows{also}",
        proof.determinism.holds and (plain is None or plain.holds),
    )
    measured = proof.tile_invariance or proof.batch_invariance
    if not measured.holds:
        figures = f"not so for {measured.counterexample}"
    elif proof.tile is None:
        figures = f"{measured.tried} batch sizes ({measured.batch_sizes})"
    else:
        figures = f"in a tile of {proof.tile}, every row at every position"
    yield Claim(name, "batch-invariant", figures, measured.holds)
