"""The `lockstep` command: each sub-command imports what it needs when it is called."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockstep.errors import (
    AlreadyExists,
    Disproved,
    EngineFailure,
    EngineUnavailable,
    InvalidInstances,
    InvalidSetting,
    LockstepError,
    NotFound,
    Unreadable,
    Unservable,
)

if TYPE_CHECKING:
    from rich.console import Console

    from lockstep.artifact.folder import Artifact
    from lockstep.proof.certificate import Certificate
    from lockstep.proof.finding import AuditReport
    from train.evaluate import Metrics
    from train.fit import Fit

PROVED = 0
DISPROVED = 1
UNREADABLE = 2
WRONG_USAGE = 64
INTERRUPTED = 130

EXIT_CODES: tuple[tuple[type[LockstepError], int], ...] = (
    (Unreadable, UNREADABLE),
    (InvalidInstances, UNREADABLE),  # in a table that is to be scored
    (Disproved, DISPROVED),
    (Unservable, DISPROVED),
    (EngineFailure, DISPROVED),
    (InvalidSetting, WRONG_USAGE),
    (AlreadyExists, WRONG_USAGE),
    (EngineUnavailable, WRONG_USAGE),
)


class EngineChoice(StrEnum):
    """What runs the rows."""

    onnx = "onnx"
    torchscript = "torchscript"


app = typer.Typer(
    name="lockstep",
    help="Train a network, prove that it is in inference mode, and serve it locked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Models = Annotated[Path, typer.Option("--models", metavar="DIR", help="The models folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Version = Annotated[
    int | None, typer.Option("--version", help="The version's number; by default the next one.")
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    0 proved; 1 disproved, or a mode that cannot be decided; 2 unreadable; 3 the service cannot
    start; 64 wrong usage; 130 interrupted.

    Args:
        arguments: without the program's name; those of this process where they are None.
    """
    try:
        code = app(args=arguments, prog_name="lockstep", standalone_mode=False)
    except LockstepError as error:
        return _complain(str(error), exit_code(error))
    except typer.TyperException as error:  # the command line itself is wrong
        sentence = error.format_message() or "Expected a command."
        return _complain(f"{sentence.rstrip('.')}. See lockstep --help.", WRONG_USAGE)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    if code == INTERRUPTED:
        return _complain("Interrupted.", INTERRUPTED)
    return code if isinstance(code, int) else PROVED


def exit_code(error: LockstepError) -> int:
    """The exit code of an error, by `EXIT_CODES`."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def _complain(sentence: str, code: int) -> int:
    print(f"lockstep: {sentence}", file=sys.stderr)
    return code


def _note(sentence: str) -> None:
    print(f"lockstep: note: {sentence}", file=sys.stderr)


def _print_version(asked: bool) -> None:
    if asked:
        from lockstep.proof.certificate import versions

        print(f"lockstep {versions().get('lockstep', 'of a source tree that is not installed')}")
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


@app.command("train")
def train_command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="digits, wine, breast_cancer or diabetes.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name; by default the source's.")
    ] = None,
    models: Models = Path("models"),
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE.toml", help="Settings of the training.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Decides every random draw.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most.")] = None,
) -> int:
    """Train a network on SOURCE, export it, prove it, and write it as an artifact."""
    from lockstep.artifact.folder import check_writable

    check_writable(models, name or source)

    from rich.console import Console

    from train.configuration.configuration import Configuration
    from train.data.load import load
    from train.evaluate import evaluate
    from train.export import export
    from train.fit import fit
    from train.progress import follow

    chosen = {"seed": seed, "epochs": epochs}
    changes = {"training": {key: value for key, value in chosen.items() if value is not None}}
    configuration = (
        Configuration.from_toml(config, changes)
        if config
        else Configuration.model_validate(changes)
    )
    dataset = load(source, configuration)
    console = Console(highlight=False)
    with follow(console, configuration.training.epochs) as on_epoch:
        fitted = fit(configuration, dataset, on_epoch=on_epoch)
    metrics = evaluate(fitted.network, dataset.test)
    _show_fit(console, fitted, metrics)
    artifact, certificate = export(fitted, dataset, metrics, models=models, name=name or source)
    _show_sealed(console, artifact, certificate)
    where = "" if models == Path("models") else f" --models {models}"
    console.print(f"Serve it: lockstep serve{where}", soft_wrap=True, markup=False)
    return PROVED


def _show_fit(console: Console, fitted: Fit, metrics: Metrics) -> None:
    from lockstep.display import plain_table
    from train.report import curve_columns, curve_rows, describe

    console.print(plain_table(curve_columns(fitted), curve_rows(fitted)))
    console.print(describe(fitted), soft_wrap=True, markup=False)
    figures = {name: value for name, value in metrics.as_dict().items() if name != "rows"}
    console.print(
        f"On the {metrics.rows} rows of the held-out test split: "
        f"{', '.join(f'{name} {value:.4g}' for name, value in figures.items())}.",
        soft_wrap=True,
        markup=False,
    )


def _show_sealed(console: Console, artifact: Artifact, certificate: Certificate) -> None:
    from lockstep.display import certificate_table

    console.print(certificate_table(certificate))
    console.print(
        f"Proved and written to {artifact.path} (digest {artifact.digest[:12]}…).",
        soft_wrap=True,
        markup=False,
    )


@app.command()
def audit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Model files: .onnx, .ts or .pt.")
    ],
    as_json: AsJson = False,
) -> int:
    """Find every operator in FILE... that is, or may enter, training mode."""
    from rich.console import Console

    from lockstep.display import audit_text

    console = Console(highlight=False)
    worst = PROVED
    entries: list[dict[str, Any]] = []
    for file in files:
        try:
            report = _audit(file)
        except LockstepError as error:
            worst = max(worst, _complain(str(error), exit_code(error)))
            entries.append({"file": str(file), "verdict": "unreadable", "error": str(error)})
            continue
        worst = max(worst, PROVED if report.verdict == "clean" else DISPROVED)
        entries.append(
            {"file": str(file), "verdict": report.verdict, **report.model_dump(mode="json")}
        )
        if not as_json:
            console.print(audit_text(str(file), report), soft_wrap=True)
    if as_json:
        _print_json({"files": entries})
    return worst


def _audit(file: Path) -> AuditReport:
    from lockstep.proof.prove import audit_file

    if file.suffix.lower() not in {".onnx", ".ts", ".pt", ".pth"}:
        raise Unreadable(f"Expected a model file, .onnx, .ts or .pt, got {file}.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from error
    return audit_file(str(file), data)


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An artifact: models/NAME/VERSION.")
    ],
    as_json: AsJson = False,
) -> int:
    """Verify an artifact: digests, audit, parity, golden rows, batch invariance."""
    from rich.console import Console

    from lockstep.display import certificate_table
    from lockstep.proof.verify import verify as verify_artifact

    with _errors_as_json(as_json):
        found = verify_artifact(folder)
    if as_json:
        _print_json({"holds": found.holds, **found.model_dump(mode="json")})
    else:
        console = Console(highlight=False)
        console.print(certificate_table(found.certificate))
        bits = ", ".join(f"{engine}: {word}" for engine, word in found.golden.items())
        console.print(f"Golden rows, against the bits at export: {bits}.", soft_wrap=True)
        word = "holds" if found.holds else "does not hold"
        console.print(f"{folder} {word} (digest {found.digest[:12]}…).", soft_wrap=True)
    for complaint in found.complaints:
        _complain(complaint, DISPROVED)
    return PROVED if found.holds else DISPROVED


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="An ONNX file from anywhere.")],
    name: Annotated[str, typer.Option("--name", help="The model's name.")],
    models: Models = Path("models"),
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B,C", help="Names of the columns, by commas."),
    ] = None,
    version: Version = None,
    as_json: AsJson = False,
) -> int:
    """Bring in an ONNX file: audited, certified and given a manifest."""
    from rich.console import Console

    from lockstep.artifact.folder import check_writable
    from lockstep.imported import import_onnx

    names = [word.strip() for word in columns.split(",")] if columns is not None else None
    with _errors_as_json(as_json):
        check_writable(models, name)
        artifact, certificate = import_onnx(file, models, name, version=version, column_names=names)
    if as_json:
        _print_json(
            {
                "path": str(artifact.path),
                "digest": artifact.digest,
                "manifest": artifact.manifest.model_dump(mode="json"),
                "certificate": certificate.model_dump(mode="json"),
            }
        )
    else:
        _show_sealed(Console(highlight=False), artifact, certificate)
    return PROVED


@app.command()
def predict(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An artifact: models/NAME/VERSION.")
    ],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE", help="A .csv, .parquet, .arrow or .npy file; - is CSV on stdin."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A CSV file; - is stdout.")
    ] = Path("-"),
    engine: Annotated[EngineChoice, typer.Option(help="What runs the rows.")] = EngineChoice.onnx,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether a CSV names its columns.")
    ] = True,
) -> int:
    """Answer every row of TABLE with the same bits as the service."""
    from lockstep.engine.engine import check_engine_name
    from lockstep.score import score

    score(folder, table, output, engine=check_engine_name(engine.value), header=header, note=_note)
    return PROVED


@app.command()
def serve(
    models: Annotated[
        Path | None, typer.Option("--models", metavar="DIR", help="The models folder.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    engine: Annotated[EngineChoice | None, typer.Option(help="What runs the rows.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes behind the port.")
    ] = None,
    example: Annotated[
        bool | None, typer.Option("--example/--no-example", help="Print a curl line once ready.")
    ] = None,
) -> int:
    """Serve the models; a flag wins over the environment."""
    from service.settings import load_settings

    word = engine.value if engine is not None else None
    settings = load_settings(
        models=models, host=host, port=port, engine=word, workers=workers, example=example
    )
    if settings.workers > 1:
        from service.workers import run  # which holds no model and imports no engine
    else:
        from service.server import run
    return run(settings)


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


@contextmanager
def _errors_as_json(wanted: bool) -> Iterator[None]:
    """Where JSON is wanted, what fails is a document as well; the sentence goes to stderr too."""
    try:
        yield
    except LockstepError as error:
        if wanted:
            _print_json({"error": str(error), "kind": type(error).__name__})
        raise


if __name__ == "__main__":
    sys.exit(main())
