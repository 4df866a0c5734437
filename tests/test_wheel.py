"""What is installed is enough: the wheel in an environment of its own, without the checkout.

Nothing is fetched: the libraries are those of the environment that runs the tests.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import httpx
import numpy as np
import pytest

from lockstep.artifact.folder import GOLDEN, open_artifact
from lockstep.artifact.golden import Golden
from serving import bits, environment, probabilities, run_command, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "models" / "digits" / "1"
PACKAGES = {
    "lockstep": ROOT,
    "lockstep_train": ROOT / "train",
    "lockstep_service": ROOT / "service",
}
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")


def run(*words, folder, **variables):
    done = subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env=environment(PYTHONPATH="", UV_OFFLINE="1", **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def uv(tmp_path_factory):
    """Runs uv, which keeps nothing from one session of tests to the next."""
    cache = tmp_path_factory.mktemp("cache")

    def ask(*words, folder):
        return run(sys.executable, "-m", "uv", *words, folder=folder, UV_CACHE_DIR=str(cache))

    return ask


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, uv):
    """Built from a copy, so that neither leaves anything in the other."""
    source = tmp_path_factory.mktemp("source")
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    for folder in ("lockstep", "train", "service"):
        shutil.copytree(ROOT / folder, source / folder, ignore=LEFT_OUT)
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, folder=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel, uv):
    """The folder of an environment that holds the wheel, and sees the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment") / "installed"
    uv("venv", "--python", sys.executable, folder, folder=folder.parent)
    python = folder / "bin" / "python"
    uv("pip", "install", "--no-deps", "--python", python, wheel, folder=folder.parent)
    (site,) = folder.glob("lib/python3*/site-packages")
    # The folders and not their .pth files: an editable install of the checkout is in one of those.
    libraries = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "libraries.pth").write_text("\n".join(libraries), encoding="utf-8")
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """An empty folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_the_wheel_holds_the_three_packages_whole_and_nothing_else(wheel):
    with ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(folder).as_posix()
        for package, folder in PACKAGES.items()
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == sources
    assert sources >= {f"{package}/py.typed" for package in PACKAGES}
    assert "lockstep_train/report/templates/page.html" in sources


def test_the_wheel_carries_the_licence(wheel):
    with ZipFile(wheel) as file:
        (name,) = (each for each in file.namelist() if each.endswith(".dist-info/licenses/LICENSE"))
        assert file.read(name) == (ROOT / "LICENSE").read_bytes()


def test_what_is_imported_is_what_was_installed(installed, elsewhere):
    script = f"import {', '.join(PACKAGES)}; print({', '.join(f'{p}.__file__' for p in PACKAGES)})"
    files = run(installed / "bin" / "python", "-c", script, folder=elsewhere).split()
    assert [file for file in files if not Path(file).is_relative_to(installed)] == []


def test_it_serves_the_recorded_bits(installed, elsewhere):
    models = elsewhere.parent / "models"
    shutil.copytree(DIGITS, models / "digits" / "1")
    artifact = open_artifact(DIGITS)
    golden = Golden.from_bytes(artifact.read(GOLDEN))
    recorded = golden.engines["onnx"][artifact.manifest.outputs[0].name]
    program = [installed / "bin" / "lockstep"]
    with serving(models, program=program, folder=elsewhere, PYTHONPATH="") as service:
        with httpx.Client(base_url=service.address) as http:
            answers = [
                probabilities(http.post("/predict", json={"instances": rows.tolist()}))
                for rows in (golden.features[:1], golden.features)
            ]
        assert service.stop() == (0, "")
    assert bits(answers[0]) == bits(np.asarray(recorded[:1]))
    assert bits(answers[1]) == bits(np.asarray(recorded))


def test_it_trains_proves_and_reports(installed, elsewhere):
    program = [installed / "bin" / "lockstep"]
    words = ("train", "digits", "--epochs", "1")
    done = run_command(*words, program=program, folder=elsewhere, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    artifact = open_artifact(elsewhere / "models" / "digits" / "1")
    page = artifact.read("report/index.html").decode()
    assert "<style>" in page
    assert json.loads(artifact.read("certificate.json"))
