"""A process that is coming to its end is not disturbed by another signal."""

import subprocess
import sys

import pytest

from serving import ROOT, environment

TWICE = """
import os, signal
from lockstep_service.process.ending import Stopped, stop_on_signals
stop_on_signals()
try:
    os.kill(os.getpid(), signal.{first})
except Stopped:
    os.kill(os.getpid(), signal.{second})
    print("stopped")
"""
# As the parent does: at the word that one worker cannot start, it stops them all.
STOPPED_AT_ITS_WORD = """
import os, signal, sys
from pathlib import Path
from lockstep_service.process.child import work
from lockstep_service.settings import Settings

class Parent:
    def send(self, sentence):
        print(sentence)
        os.kill(os.getpid(), signal.SIGTERM)

    def poll(self):
        return False

work(0, Settings(models=Path(sys.argv[1])), None, Path(sys.argv[1]), Parent())
"""


def run(script, *words):
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("first", "second"), [("SIGINT", "SIGTERM"), ("SIGTERM", "SIGTERM")])
def test_the_first_signal_stops_and_the_second_adds_nothing(first, second):
    done = run(TWICE.format(first=first, second=second))
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def test_a_worker_that_is_stopped_at_its_last_word_ends_as_it_would(tmp_path):
    done = run(STOPPED_AT_ITS_WORD, str(tmp_path))
    assert done.stdout.startswith("There is nothing to serve in ")
    assert (done.returncode, done.stderr) == (3, "")
