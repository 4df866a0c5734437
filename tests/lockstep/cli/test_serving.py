"""`lockstep serve`."""

import subprocess
import sys
from pathlib import Path

import pytest

from lockstep_service.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def started(monkeypatch):
    """The settings that the service was started with."""
    seen = []

    def run(settings):
        seen.append(settings)
        return 3

    monkeypatch.setattr("lockstep_service.process.server.run", run)
    return seen


def test_flags_win_over_the_environment_and_the_exit_code_is_the_services(
    lockstep, started, monkeypatch, tmp_path
):
    monkeypatch.setenv("LOCKSTEP_PORT", "9000")
    monkeypatch.setenv("LOCKSTEP_HOST", "127.0.0.2")
    code, *_ = lockstep(
        "serve", "--models", tmp_path, "--port", 9001, "--engine", "torchscript", "--example"
    )
    assert code == 3
    settings = started[0]
    assert (settings.models, settings.port, settings.host) == (tmp_path, 9001, "127.0.0.2")
    assert (settings.engine, settings.example) == ("torchscript", True)


def test_without_flags_everything_is_left_to_the_environment(lockstep, started, monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LOCKSTEP_{name.upper()}", raising=False)
    monkeypatch.setenv("LOCKSTEP_EXAMPLE", "true")
    lockstep("serve")
    assert started[0].example is True
    assert started[0].port == Settings.model_fields["port"].default


@pytest.mark.slow
def test_a_service_with_nothing_to_serve_ends_with_3_and_a_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lockstep", "serve", "--models", str(tmp_path), "--port", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 3
    assert "lockstep: " in done.stderr
    assert "Traceback" not in done.stderr
