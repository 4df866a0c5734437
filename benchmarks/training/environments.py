"""The environments of the peers: their packages beside the torch that every arm computes with."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.process import ROOT

ENVIRONMENTS = ROOT / ".lockstep" / "bench" / "training"


class NotInstalled(RuntimeError):
    """A peer that this machine's Python cannot install."""


def python_of(requirements: tuple[str, ...]) -> str:
    """The Python that an arm runs in: this one, or one with further packages.

    Args:
        requirements: what pip installs, with versions; none for this Python.

    Raises:
        NotInstalled: with the end of what pip printed.
    """
    if not requirements:
        return sys.executable
    folder = ENVIRONMENTS / "-".join(requirements).replace("==", "-")
    python = str(folder / "bin" / "python")
    if (done := folder / "installed").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    # What is installed here is found there too: torch is the same build, and not fetched twice.
    words = ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    found = subprocess.run([python, *words], check=True, capture_output=True, text=True)
    (Path(found.stdout.strip()) / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    finished = subprocess.run(
        [*install, *requirements], check=False, capture_output=True, text=True
    )
    if finished.returncode:
        raise NotInstalled(f"{', '.join(requirements)}: {finished.stderr.strip()[-500:]}")
    done.touch()
    return python
