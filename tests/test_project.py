"""What the project says of itself in several places is the same in all of them."""

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = TOML["project"]
# The text as the Apache Software Foundation publishes it, its appendix included.
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def parsed(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def pythons():
    """The versions that the classifiers name."""
    name = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    return [found[1] for line in PROJECT["classifiers"] if (found := name.fullmatch(line))]


def targets(name):
    """What a target of the Makefile stands on."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.search(rf"^{name}: (.*?)(?: ##|$)", makefile, re.MULTILINE)[1].split()


def test_the_licence_is_the_whole_and_unaltered_text():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]


def test_the_pythons_that_are_named_are_those_that_the_forge_tests():
    workflow = parsed(".github/workflows/ci.yml")
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons()


def test_the_oldest_python_is_the_one_that_is_asked_for_and_checked():
    oldest = pythons()[0]
    assert PROJECT["requires-python"] == f">={oldest}"
    assert TOML["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")


def test_types_are_checked_for_the_oldest_and_the_newest_python():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checked = re.findall(r"mypy --python-version (\S+)", makefile)
    assert checked == [pythons()[0], pythons()[-1]]


@pytest.mark.parametrize("version", pythons())
def test_the_readme_says_where_a_python_is_tested(version):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (3\.[\d., ]+) \|", readme, re.MULTILINE)
    assert version in ", ".join(rows).split(", ")


def test_a_commit_is_held_to_the_parts_of_make_check():
    hooks = parsed(".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert [hook["entry"].split()[-1] for hook in hooks] == targets("check")
    assert all(hook["language"] == "system" for hook in hooks)


def test_the_hooks_can_be_read():
    words = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_forge_may_only_read():
    workflow = parsed(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
