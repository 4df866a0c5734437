"""Starts each server in turn on the same network, the same body and the same load; one table.

Run it with ``make bench`` (writes docs/benchmarks.md and docs/benchmarks.png) or ``make
bench-quick`` (prints the ratios that serving is held to). It needs wrk and hey.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.process import ROOT
from benchmarks.serving.bulk import measure_bulk
from benchmarks.serving.chart import draw
from benchmarks.serving.load import require_tools
from benchmarks.serving.measure import Plan, answer_sizes, measure
from benchmarks.serving.networks import IMAGE
from benchmarks.serving.page import (
    heading,
    table_of_ratios,
    table_of_servers,
    write_between_markers,
)
from benchmarks.serving.peers.servers import installed
from benchmarks.serving.ratios import ratios
from benchmarks.serving.servers import SERVERS, TORCHSCRIPT, Case

PAGE = ROOT / "docs" / "benchmarks.md"
CHART = ROOT / "docs" / "benchmarks.png"
WHOLE = Plan(rounds=3, seconds=10)
QUICK = Plan(rounds=1, seconds=3)


def main() -> None:
    """Measure, print, and write the page."""
    arguments = _arguments()
    require_tools()
    plan = QUICK if arguments.quick else WHOLE
    changes = {"rounds": arguments.rounds, "seconds": arguments.seconds}
    plan = plan._replace(**{name: value for name, value in changes.items() if value})
    servers = [server for server in SERVERS if not (arguments.quick and server is TORCHSCRIPT)]
    servers += installed(_say) if arguments.peers else ()
    sizes = answer_sizes(_say)
    results = measure(servers, sizes, plan, _say)
    bulk = measure_bulk(plan.rounds, plan.seconds) if Case(IMAGE, "binary") in sizes else None
    found = ratios(results, bulk)
    text = "\n\n".join((heading(plan), table_of_servers(results), table_of_ratios(found)))
    print(f"\n{text}\n")
    missed = [ratio for ratio in found if not ratio.is_met]
    print(f"{len(found) - len(missed)} of {len(found)} bounds met.")
    for ratio in missed:
        what, value, bound, _ = ratio.cells()
        print(f"missed: {what}: {value}, expected {bound}")
    if not arguments.quick:
        draw(results, CHART)
        write_between_markers(PAGE, f"{text}\n\n![Requests a second]({CHART.name})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the ratios alone, under 2 minutes")
    parser.add_argument("--peers", action="store_true", help="other serving libraries as well")
    parser.add_argument("--rounds", type=int, help="visits to each server")
    parser.add_argument("--seconds", type=int, help="of each load")
    return parser.parse_args()


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    main()
