"""One visit to one server: every case that it can answer, under the same load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import median
from typing import NamedTuple

from benchmarks.process import NotReady, Tree
from benchmarks.serving.load import LoadFailed, Request, hold, press
from benchmarks.serving.networks import SHAPES, Shape
from benchmarks.serving.servers import CASES, ECHO, LOCKSTEP, REFERENCE, Case, Server, ask

MOST_CONNECTIONS = 64
STEADY_CONNECTIONS = 16
STEADY_SHARE = 0.5
WARM_SECONDS = 1
NEEDED = (ECHO, REFERENCE, LOCKSTEP)


class Plan(NamedTuple):
    """How often, and how long.

    Attributes:
        rounds: visits to each server.
        seconds: at the greatest rate with 64 connections, and again at the steady rate.
    """

    rounds: int
    seconds: int

    @property
    def one_seconds(self) -> int:
        """With one connection."""
        return max(1, self.seconds // 2)


@dataclass(frozen=True)
class Figures:
    """What one visit, or the median of several, says about one case.

    Attributes:
        rate: answers a second, 64 connections.
        per_cpu_s: answers for a processor second of the server's processes.
        one_p50_ms: with one connection.
        steady_p99_ms: at half of the reference's rate; None where that is not asked.
    """

    rate: float
    per_cpu_s: float
    one_p50_ms: float
    steady_p99_ms: float | None


@dataclass
class Results:
    """The figures of every visit."""

    visits: dict[tuple[str, Case], list[Figures]] = field(default_factory=dict)

    def add(self, server: Server, case: Case, figures: Figures) -> None:
        """Keep the figures of a visit."""
        self.visits.setdefault((server.name, case), []).append(figures)

    def median(self, name: str, case: Case) -> Figures | None:
        """The medians of a server, field by field; None where it does not answer the case."""
        visits = self.visits.get((name, case))
        if not visits:
            return None
        steady = [visit.steady_p99_ms for visit in visits if visit.steady_p99_ms is not None]
        return Figures(
            rate=median(visit.rate for visit in visits),
            per_cpu_s=median(visit.per_cpu_s for visit in visits),
            one_p50_ms=median(visit.one_p50_ms for visit in visits),
            steady_p99_ms=median(steady) if steady else None,
        )

    def names(self) -> list[str]:
        """The servers that answered anything, in the order of their first visit."""
        return list(dict.fromkeys(name for name, _ in self.visits))


def answer_sizes(say: Callable[[str], None]) -> dict[Case, int]:
    """The cases that Lockstep answers, and how many bytes it answers with."""
    sizes = {}
    for shape in SHAPES:
        with LOCKSTEP.run(shape) as (port, _):
            for case in (case for case in CASES if case.shape == shape):
                status, answer = ask(LOCKSTEP.request(case, port))
                if status == 200:
                    sizes[case] = len(answer)
                else:
                    said = answer[:200].decode(errors="replace")
                    say(f"left out: {case}; Lockstep answers {status}: {said}")
    return sizes


def visit(
    server: Server, shape: Shape, sizes: dict[Case, int], plan: Plan, half_rate: float | None
) -> dict[Case, Figures]:
    """Start a server, and measure every case of a network that it can answer.

    Args:
        server: which.
        shape: of the network.
        sizes: the cases, and how many bytes the echo answers in each.
        plan: how long.
        half_rate: requests a second of the steady load; None takes half of its own.
    """
    found = {}
    with server.run(shape) as (port, processes):
        for case, size in sizes.items():
            if case.shape == shape and case.dialect in server.routes:
                request = server.request(case, port, size)
                status, answer = ask(request)
                if status != 200:
                    said = answer[:200].decode(errors="replace")
                    raise NotReady(f"it answers {case} with {status}: {said}")
                found[case] = _press_and_hold(server, request, processes, plan, half_rate)
    return found


def _press_and_hold(
    server: Server, request: Request, processes: Tree, plan: Plan, half_rate: float | None
) -> Figures:
    press(request, connections=MOST_CONNECTIONS, seconds=WARM_SECONDS)
    begin = processes.cpu_s()
    most = press(request, connections=MOST_CONNECTIONS, seconds=plan.seconds)
    cpu_s = processes.cpu_s() - begin
    one = press(request, connections=1, seconds=plan.one_seconds)
    steady_p99_ms = None
    if server.steady:
        rate = half_rate or STEADY_SHARE * most.rate
        steady = hold(request, rate=rate, connections=STEADY_CONNECTIONS, seconds=plan.seconds)
        if steady.refused:
            raise LoadFailed(f"{request.url} refused {steady.refused} at {rate:.0f} a second.")
        steady_p99_ms = steady.p99_ms
    return Figures(most.rate, most.answers / cpu_s, one.p50_ms, steady_p99_ms)


def measure(
    servers: Sequence[Server], sizes: dict[Case, int], plan: Plan, say: Callable[[str], None]
) -> Results:
    """Visit every server in turn, in each of the rounds; one that fails is left out.

    Args:
        servers: the reference stands before those that are asked at half of its rate.
        sizes: the cases, and how many bytes the echo answers in each.
        plan: how long, and how often.
        say: is told of each visit.

    Raises:
        NotReady, LoadFailed: where that happens to one that every ratio needs.
    """
    results = Results()
    left_out: set[Server] = set()
    for number, shape in product(range(1, plan.rounds + 1), SHAPES):
        half_rate = None
        for server in servers:
            if server in left_out:
                continue
            try:
                found = visit(server, shape, sizes, plan, half_rate)
            except (NotReady, LoadFailed) as error:
                if server in NEEDED:
                    raise
                left_out.add(server)
                say(f"left out: {server.name}; {error}")
                continue
            for case, figures in found.items():
                results.add(server, case, figures)
                say(f"round {number}: {server.name}, {case}: {figures.rate:,.0f} requests/s")
                if server is REFERENCE:
                    half_rate = STEADY_SHARE * figures.rate
    return results
