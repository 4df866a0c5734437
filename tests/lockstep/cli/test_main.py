"""The command line as a whole: exit codes, usage, what is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from lockstep import errors
from lockstep.cli import exit_codes
from lockstep.cli.main import app, main
from lockstep.errors import LockstepError

ROOT = Path(__file__).parents[3]


def fresh(script, *, expect=0):
    """Run Python statements in an interpreter of their own."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stderr
    return done.stdout


def every(kind):
    return [kind, *(below for child in kind.__subclasses__() for below in every(child))]


def test_every_error_that_is_raised_on_purpose_has_an_exit_code():
    for kind in every(LockstepError):
        # Those of the service become HTTP, or the 3 of its process.
        served = kind.__module__.startswith("lockstep_service.")
        if kind is not LockstepError and not served:
            assert any(issubclass(kind, known) for known, _ in exit_codes.TABLE), kind


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("Unreadable", 2),
        ("NotFound", 2),
        ("InvalidInstances", 2),
        ("Disproved", 1),
        ("DigestMismatch", 1),
        ("TrainingMode", 1),
        ("RowMixing", 1),
        ("Unrepeatable", 1),
        ("ParityBroken", 1),
        ("Unservable", 1),
        ("EngineFailure", 1),
        ("InvalidSetting", 64),
        ("AlreadyExists", 64),
        ("EngineUnavailable", 64),
    ],
)
def test_an_error_becomes_its_exit_code_and_one_sentence(lockstep, monkeypatch, kind, code):
    arguments = ([],) if kind == "InvalidInstances" else ("Expected this, got that.",)
    error = getattr(errors, kind)(*arguments)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("lockstep.proof.verify.verify", fail)
    assert lockstep("verify", "models/digits/1") == (code, "", f"lockstep: {error}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("train",),
        ("train", "digits", "--nope"),
        ("train", "digits", "--seed", "x"),
        ("train", "digits", "--name", "a/b"),
        ("train", "digitss"),
        ("train", "digits", "--epochs", "0"),
        ("audit",),
        ("verify",),
        ("import", "x.onnx"),
        ("predict", "models/digits/1"),
        ("predict", "models/digits/1", "t.csv", "--engine", "fast"),
        ("serve", "--port", "many"),
        ("serve", "--port", "70000"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_64_and_a_sentence(lockstep, arguments):
    code, _, err = lockstep(*arguments)
    assert code == 64
    assert err.startswith("lockstep: ")


def test_an_interruption_is_130_and_a_sentence(lockstep, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lockstep.proof.verify.verify", interrupted)
    assert lockstep("verify", "x") == (130, "", "lockstep: Interrupted.\n")


def test_what_was_not_foreseen_is_not_hidden(monkeypatch):
    def defect(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("lockstep.proof.verify.verify", defect)
    with pytest.raises(ZeroDivisionError):
        main(["verify", "x"])


def test_version_and_help_are_no_errors(lockstep):
    code, out, _ = lockstep("--version")
    assert code == 0
    assert out.startswith("lockstep ")
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    for command in ((), *((name,) for name in commands)):
        code, out, err = lockstep(*command, "--help")
        assert (code, err) == (0, "")
        assert "Usage: lockstep" in out


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["--version"]])
def test_help_imports_neither_torch_nor_the_engines(arguments):
    fresh(
        f"import sys; from lockstep.cli.main import main; assert main({arguments}) == 0\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'fastapi', 'polars'} & sys.modules.keys()"
        if arguments != ["--version"]
        else f"import sys; from lockstep.cli.main import main; assert main({arguments}) == 0\n"
        "assert 'torch' not in sys.modules"
    )


@pytest.mark.slow
def test_serving_and_scoring_import_no_torch_and_no_table_reader(models, table):
    fresh(
        "import sys, lockstep_service.process.server\nfrom lockstep.cli.main import main\n"
        "lockstep_service.process.server.run = lambda settings: 0\n"
        f"assert main(['serve', '--models', {str(models)!r}]) == 0\n"
        f"assert main(['predict', {str(models / 'wine' / '1')!r}, {str(table)!r}]) == 0\n"
        "assert not {'torch', 'polars', 'lockstep_train'} & sys.modules.keys()"
    )


def test_a_wrong_name_is_refused_before_torch_is_imported():
    fresh(
        "import sys\nfrom lockstep.cli.main import main\n"
        "assert main(['train', 'digits', '--name', 'a/b']) == 64\n"
        "assert 'torch' not in sys.modules"
    )


def test_the_command_line_stands_on_the_public_names_of_typer():
    assert issubclass(typer.BadParameter, typer.TyperException)
