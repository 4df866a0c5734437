"""The command line: its sub-commands, and the exit codes of their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from lockstep.cli import artifacts, proof, scoring, serving, training
from lockstep.cli.exit_codes import INTERRUPTED, PROVED, WRONG_USAGE, exit_code
from lockstep.cli.output import complain
from lockstep.errors import LockstepError

app = typer.Typer(
    name="lockstep",
    help="Train a network, prove that it is in inference mode, and serve it locked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order in which `lockstep --help` lists them.
COMMANDS: dict[str, Callable[..., int]] = {
    "train": training.train,
    "tune": training.tune,
    "audit": proof.audit,
    "verify": proof.verify,
    "import": artifacts.import_model,
    "predict": scoring.predict,
    "serve": serving.serve,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    ==== ===============================================
    code meaning
    ==== ===============================================
    0    proved
    1    disproved, or the mode cannot be decided
    2    unreadable
    3    the service cannot start
    64   wrong usage
    130  interrupted
    ==== ===============================================

    Args:
        arguments: without the program's name; None takes those of this process.
    """
    try:
        code = app(args=arguments, prog_name="lockstep", standalone_mode=False)
    except LockstepError as error:
        return complain(str(error), exit_code(error))
    except typer.TyperException as error:  # the command line itself is wrong
        sentence = error.format_message() or "Expected a command."
        return complain(f"{sentence.rstrip('.')}. See lockstep --help.", WRONG_USAGE)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    if code == INTERRUPTED:
        return complain("Interrupted.", INTERRUPTED)
    return code if isinstance(code, int) else PROVED


def _print_version(given: bool) -> None:
    if given:
        from lockstep.proof.certificate import library_versions

        version = library_versions().get("lockstep", "of a source tree that is not installed")
        print(f"lockstep {version}")
        raise typer.Exit(PROVED)


@app.callback()
def lockstep(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train a network, prove that it is in inference mode, and serve it locked."""
