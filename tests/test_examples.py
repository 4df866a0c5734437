"""The programs of examples/ run as a person runs them, and say what they are to show."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import open_artifact
from serving import environment, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def run(name, folder, *words):
    """What an example prints, in a process of its own, from a folder that is not the checkout."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_fitted_network_is_exported_and_holds(tmp_path):
    accuracy, holds, serve = run("fit_and_export.py", tmp_path, "exported")
    assert float(accuracy.removeprefix("accuracy on unseen rows: ")) > 0.9
    assert holds == "exported/tumours/1 holds"
    assert serve == "serve it: lockstep serve --models exported"
    assert open_artifact(tmp_path / "exported" / "tumours" / "1").manifest.name == "tumours"


def test_the_service_gives_a_row_the_same_bits(tmp_path):
    with serving(ROOT / "models") as service:
        label, bits = run("ask_the_service.py", tmp_path, service.address)
    assert re.fullmatch(r"label \d, probability [01]\.\d{4}", label)
    assert bits == "alone and among 32 rows: the same bits"


def test_the_audit_tells_the_file_in_training_mode(tmp_path):
    shown = run("audit_before_merge.py", tmp_path)
    assert shown[:2] == ["exported_in_eval.onnx: clean", "exported_in_train.onnx: training"]
    assert "(Dropout)" in shown[2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_run_here_and_says_how_to_run_it(name):
    text = (ROOT / "examples" / name).read_text(encoding="utf-8")
    assert f"    python examples/{name}" in text
    assert f'"{name}"' in Path(__file__).read_text(encoding="utf-8")
    assert f"[{name}]({name})" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
