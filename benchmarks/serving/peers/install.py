"""The environments of the peers: one for each, since their requirements contradict each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.serving.servers import WORK

ENVIRONMENTS = WORK / "peers"
ENGINE = ("onnxruntime==1.32.0",)


class NotInstalled(RuntimeError):
    """A peer that this machine's Python cannot install."""


def program(peer: str, name: str) -> str:
    """Path of a program in the environment of a peer."""
    return str(_environment(peer) / "bin" / name)


def _environment(peer: str) -> Path:
    return ENVIRONMENTS / peer.lower().replace(" ", "_")


def install(peer: str, requirements: tuple[str, ...]) -> None:
    """Make the environment of a peer, where it is not there yet.

    Raises:
        NotInstalled: with the end of what pip printed.
    """
    done = _environment(peer) / "installed"
    wanted = "\n".join((*requirements, *ENGINE))
    if done.exists() and done.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", _environment(peer)], check=True)
    pip = [program(peer, "pip"), "install", "--quiet", "--disable-pip-version-check"]
    finished = subprocess.run(
        [*pip, *requirements, *ENGINE], check=False, capture_output=True, text=True
    )
    if finished.returncode:
        raise NotInstalled(f"{', '.join(requirements)}: {finished.stderr.strip()[-500:]}")
    done.write_text(wanted)
