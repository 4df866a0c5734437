"""The public names: they are there, come from one home each, and cost nothing until asked for."""

import ast
import importlib.util
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lockstep

ROOT = Path(__file__).parents[2]
PUBLIC = sorted(lockstep.__all__)
ESTIMATORS = ["LockstepClassifier", "LockstepRegressor"]
DIGITS = ROOT / "models" / "digits" / "1"


def fresh(script):
    words = [sys.executable, "-c", script]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def source(path):
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name):
    assert getattr(lockstep, name)
    assert name in dir(lockstep)


@pytest.mark.parametrize("name", lockstep.HOMES)
def test_a_public_name_is_the_one_of_its_home(name):
    value = getattr(lockstep, name)
    assert (value.__module__, value.__name__) == (lockstep.HOMES[name], name)


def test_a_type_checker_is_told_of_the_same_homes():
    told = {
        alias.name: node.module
        for node in ast.walk(source("lockstep/__init__.py"))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("lockstep")
        for alias in node.names
    }
    assert told == lockstep.HOMES
    assert {*lockstep.HOMES, "__version__"} == set(lockstep.__all__)


def test_the_type_of_every_public_name_is_checked():
    """By `make types`, which reads that file."""
    toml = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "public_types" in toml["tool"]["mypy"]["modules"]
    asserted = {
        each.id
        for node in ast.walk(source("tests/public_types.py"))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "assert_type"
        for each in ast.walk(node)
        if isinstance(each, ast.Name)
    }
    assert asserted >= set(lockstep.__all__)


@pytest.mark.parametrize("package", ["lockstep", "lockstep_train", "lockstep_service"])
def test_a_package_says_that_it_is_typed(package):
    assert Path(importlib.util.find_spec(package).origin).with_name("py.typed").is_file()


def test_no_module_has_a_public_name():
    """An import of it would put the module in the name's place."""
    modules = {module.name for module in pkgutil.iter_modules(lockstep.__path__)}
    assert modules & set(lockstep.__all__) == set()


def test_a_name_that_is_not_there_is_said_as_python_says_it():
    with pytest.raises(AttributeError, match="module 'lockstep' has no attribute 'misspelt'"):
        _ = lockstep.misspelt


def test_the_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", lockstep.__version__)


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "polars", "sklearn", "lockstep_train"])
def test_without_what_training_needs_the_estimator_says_what_to_install(missing):
    done = fresh(
        f"import sys; sys.modules['{missing}'] = None\nfrom lockstep import {ESTIMATORS[0]}"
    )
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: lockstep.LockstepClassifier needs what training needs, and {missing} is not "
        f"installed; install lockstep[train]."
    )


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "polars"])
def test_the_other_names_are_there_without_an_extra(missing):
    names = [name for name in PUBLIC if name not in ESTIMATORS]
    script = f"import sys; sys.modules['{missing}'] = None\nfrom lockstep import {', '.join(names)}"
    done = fresh(script)
    assert (done.returncode, done.stderr) == (0, "")


def test_paths_may_be_text(tmp_path):
    """As everywhere in Python; a path object is no duty."""
    digits = lockstep.open_artifact(str(DIGITS))
    assert lockstep.verify(str(DIGITS)).digest == digits.digest
    columns = ",".join(column.name for column in digits.manifest.columns)
    table = tmp_path / "t.csv"
    table.write_text(f"{columns}\n{','.join('0' * 64)}\n", encoding="utf-8")
    assert lockstep.score(str(DIGITS), str(table), str(tmp_path / "s.csv"), note=pytest.fail) == 1
    theirs, _ = lockstep.import_onnx(str(DIGITS / "model.onnx"), str(tmp_path / "models"), "theirs")
    assert theirs.path == tmp_path / "models" / "theirs" / "1"
