"""Where a person works are files of their own: none of them is ever taken for one of ours."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx
import pytest

from lockstep import open_artifact
from serving import MODULE, environment, golden_rows, probabilities, run_command, serving

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parents[1] / "models" / "digits" / "1"
COMMAND = (Path(sysconfig.get_path("scripts")) / "lockstep",)
THEIRS = ("train", "service", "cli", "models")
FITS = """
import numpy as np

from lockstep import LockstepClassifier

if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X[:, 0] > 0
    print(LockstepClassifier(hidden=[4], epochs=2, threads=1).fit(X, y).predict(X).shape)
"""


@pytest.fixture
def folder(tmp_path):
    """A person's folder: their modules, each of which says so when it is imported; their models."""
    for name in THEIRS:
        text = f"raise RuntimeError('{name}.py is theirs, and was imported')\n"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    shutil.copytree(DIGITS, tmp_path / "models" / "digits" / "1")
    return tmp_path


@pytest.fixture(params=["", "."], ids=["", "PYTHONPATH=."])
def python_path(request):
    return request.param


def python(folder, *words, **variables):
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", THEIRS)
def test_a_wrong_import_would_be_seen(folder, name):
    done = python(folder, "-c", f"import {name}")
    assert f"RuntimeError: {name}.py is theirs, and was imported" in done.stderr


@pytest.mark.parametrize("program", [COMMAND, MODULE], ids=["lockstep", "python -m lockstep"])
def test_the_command_says_its_version(folder, program, python_path):
    done = run_command("--version", program=program, folder=folder, PYTHONPATH=python_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("lockstep ")


def test_the_command_audits_files_of_both_kinds(folder, python_path):
    files = ("models/digits/1/model.onnx", "models/digits/1/model.ts")
    done = run_command("audit", *files, program=COMMAND, folder=folder, PYTHONPATH=python_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("clean") == len(files)


def test_the_command_trains_beside_train_py(folder):
    done = run_command("train", "digits", "--epochs", "2", folder=folder, PYTHONPATH=".")
    assert done.returncode == 0, done.stderr
    assert open_artifact(folder / "models" / "digits" / "2")


def test_a_script_fits_the_estimator(folder):
    (folder / "fits.py").write_text(FITS, encoding="utf-8")
    done = python(folder, "fits.py", PYTHONPATH=".")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "(40,)\n")


@pytest.mark.parametrize(("workers", "python_path"), [("1", ""), ("2", ".")])
def test_the_command_serves(folder, workers, python_path):
    given = {"program": COMMAND, "folder": folder, "PYTHONPATH": python_path}
    with serving(Path("models"), "--workers", workers, **given) as service:
        body = {"instances": golden_rows(DIGITS)[:1].tolist()}
        answer = httpx.post(f"{service.address}/predict", json=body)
        assert service.stop() == (0, "")
    assert probabilities(answer).shape == (1, 10)
