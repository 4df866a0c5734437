"""How long an epoch takes: Lockstep, a plain loop, scikit-learn, and with ``--peers`` two more.

Run it with ``make bench-train``; it prints the tables and writes them into docs/training_speed.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.process import ROOT
from benchmarks.training.cases import CASES
from benchmarks.training.measure import ARMS, PEERS, THREADS, installed, measure
from benchmarks.training.page import page

PAGE = ROOT / "docs" / "training_speed.md"
BEGIN = "<!-- benchmark: written by make bench-train -->"


def main() -> None:
    """Measure, print, and write the page."""
    arguments = _arguments()
    arms = [*ARMS, *(installed(PEERS, _say) if arguments.peers else ())]
    results = {}
    for case in CASES:
        chosen = case._replace(rounds=arguments.rounds or case.rounds)
        _say(f"{chosen}, {chosen.rounds} rounds of {len(arms)} arms")
        results[chosen] = measure(chosen, arms, threads=arguments.threads)
    text = page(results, arguments.threads)
    print(f"\n{text}")
    if not arguments.quick:
        _write(PAGE, text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="skorch and Lightning as well")
    parser.add_argument("--rounds", type=int, help="epochs of each arm that count")
    parser.add_argument("--threads", type=int, default=THREADS, help="of each arm, at most")
    parser.add_argument("--quick", action="store_true", help="print, and leave the page as it is")
    return parser.parse_args()


def _write(path: Path, text: str) -> None:
    """Replace what follows the marker."""
    before, marker, _ = path.read_text(encoding="utf-8").partition(BEGIN)
    if not marker:
        raise ValueError(f"Expected {path} to hold the line {BEGIN}; write it there.")
    path.write_text(f"{before}{BEGIN}\n\n{text}", encoding="utf-8")


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    main()
