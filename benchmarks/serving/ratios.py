"""The ratios that serving is held to, and the bound of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.serving.bulk import ROWS, Bulk
from benchmarks.serving.measure import Figures, Results
from benchmarks.serving.networks import IMAGE
from benchmarks.serving.servers import (
    CASES,
    ECHO,
    EXACT,
    LOCKSTEP,
    REFERENCE,
    TWO_WORKERS,
    Case,
)

OF_ECHO = dict(zip(CASES, (0.60, 0.42, 0.50), strict=True))
# Exact precision is the default as long as it costs a table's service no more than this.
OF_TABLES, OF_FLOAT32 = CASES[0], 0.85
OF_REFERENCE = dict(zip(CASES, (3.0, 4.0, 5.0), strict=True))


@dataclass(frozen=True)
class Ratio:
    """One ratio and its bound: the least, or with ``at_most`` the greatest, that it may be."""

    what: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the bound holds."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def cells(self) -> tuple[str, str, str, str]:
        """What, value, bound, verdict."""
        sign = "≤" if self.at_most else "≥"
        verdict = "met" if self.is_met else "**missed**"
        return self.what, f"{self.value:.2f}", f"{sign} {self.bound:g}", verdict


def ratios(results: Results, bulk: Bulk | None) -> list[Ratio]:
    """Every ratio whose two sides were measured; plain FastAPI is always asked in JSON."""
    found: list[Ratio] = []
    for case in CASES:
        lockstep = results.median(LOCKSTEP.name, case)
        if not lockstep:
            continue
        if echo := results.median(ECHO.name, case):
            value = lockstep.rate / echo.rate
            found.append(Ratio(f"{case}: requests/s × {ECHO.name}", value, OF_ECHO[case]))
        if reference := results.median(REFERENCE.name, Case(case.shape, "JSON")):
            found += _against_reference(case, lockstep, reference)
        if case == OF_TABLES and (exact := results.median(EXACT.name, case)):
            value = exact.rate / lockstep.rate
            found.append(Ratio(f"{case}: exact precision, requests/s × float32", value, OF_FLOAT32))
        if two := results.median(TWO_WORKERS.name, case):
            found += _of_two_workers(case, lockstep, two)
    if bulk:
        what = f"{ROWS:,} rows of {IMAGE.features} features, binary: rows/s × session.run alone"
        found.append(Ratio(what, bulk.served / bulk.bare, 0.9))
    return found


def _against_reference(case: Case, lockstep: Figures, reference: Figures) -> Iterator[Ratio]:
    name = REFERENCE.name
    rate = lockstep.rate / reference.rate
    yield Ratio(f"{case}: requests/s × {name}", rate, OF_REFERENCE[case])
    p50 = lockstep.one_p50_ms / reference.one_p50_ms
    yield Ratio(f"{case}: p50 of one connection × {name}", p50, 0.7, at_most=True)
    if lockstep.steady_p99_ms and reference.steady_p99_ms:
        p99 = lockstep.steady_p99_ms / reference.steady_p99_ms
        yield Ratio(f"{case}: p99 at half of its rate × {name}", p99, 0.5, at_most=True)


def _of_two_workers(case: Case, one: Figures, two: Figures) -> Iterator[Ratio]:
    per_cpu_s = two.per_cpu_s / one.per_cpu_s
    yield Ratio(f"{case}: 2 workers, requests per CPU-second × 1 worker", per_cpu_s, 0.9)
    yield Ratio(f"{case}: 2 workers, requests/s × 1 worker", two.rate / one.rate, 1.5)
