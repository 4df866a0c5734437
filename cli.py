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
    printable,
)

if TYPE_CHECKING:
    from lockstep.proof.exact import Exactness
    from lockstep.proof.finding import AuditReport

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
    print(f"lockstep: {printable(sentence)}", file=sys.stderr)
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


SOURCES = (
    "CSV, Parquet, Arrow, NPZ or a folder of IDX files; or digits, wine, breast_cancer, diabetes."
)
Source = Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCES)]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.toml", help="Settings of the training.")
]
ModelName = Annotated[
    str | None, typer.Option("--name", help="The model's name; by default the source's.")
]
Target = Annotated[
    str | None, typer.Option("--target", metavar="COLUMN", help="The column that is predicted.")
]
Task = Annotated[
    str | None, typer.Option("--task", help="classification or regression, if not as inferred.")
]
Drop = Annotated[
    list[str] | None, typer.Option("--drop", metavar="COLUMN", help="A column to leave out.")
]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="COLUMN=KIND", help="numeric, categorical or boolean."),
]
TestFile = Annotated[
    str | None, typer.Option("--test", metavar="FILE", help="The test rows, in their own file.")
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="SHARES", help="As 60/20/20, or a column of train, validation, test."
    ),
]
Group = Annotated[
    str | None, typer.Option("--group", metavar="COLUMN", help="Equal values stay in one part.")
]
Time = Annotated[
    str | None, typer.Option("--time", metavar="COLUMN", help="The last rows by it are tested.")
]
Weight = Annotated[
    str | None, typer.Option("--weight", metavar="COLUMN", help="How much a row counts.")
]
Header = Annotated[
    bool | None, typer.Option("--header/--no-header", help="Whether a CSV file names its columns.")
]
Names = Annotated[
    str | None, typer.Option("--names", metavar="A,B,...", help="Names of a CSV file's columns.")
]
Missing = Annotated[
    list[str] | None, typer.Option("--missing", metavar="WORD", help="A word for a missing value.")
]
ClassWeight = Annotated[
    str | None, typer.Option("--class-weight", help="balanced: rare classes count more.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Decides every random draw.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="At most.")]


@app.command("train")
def train_command(
    source: Source,
    target: Target = None,
    name: ModelName = None,
    models: Models = Path("models"),
    config: Config = None,
    task: Task = None,
    drop: Drop = None,
    kind: Kinds = None,
    test: TestFile = None,
    split: Split = None,
    group: Group = None,
    time: Time = None,
    weight: Weight = None,
    header: Header = None,
    names: Names = None,
    missing: Missing = None,
    class_weight: ClassWeight = None,
    members: Annotated[
        int | None, typer.Option("--members", help="Networks whose answers are averaged.")
    ] = None,
    seed: Seed = None,
    epochs: Epochs = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="exact: the same bits on every processor; or float32."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", metavar="K", help="Cross-validate; no artifact.")
    ] = None,
    fold_ensemble: Annotated[
        bool,
        typer.Option("--fold-ensemble", help="With --folds: the folds' networks as the artifact."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted training was.")
    ] = False,
) -> int:
    """Train a network on SOURCE, export it, prove it, and write it as an artifact."""
    from train.job import Job, model_name

    job = Job(
        source, name or model_name(source), models, folds, ensemble=fold_ensemble, resume=resume
    )

    from rich.console import Console

    from train.command import train_source
    from train.configuration.flags import configured

    configuration = configured(
        config,
        kind,
        data={
            "target": target,
            "task": task,
            "drop": drop,
            "test": test,
            "split": split,
            "group": group,
            "time": time,
            "weight": weight,
            "header": header,
            "names": names.split(",") if names else None,
            "missing": missing,
        },
        network={"members": members},
        training={"class_weight": class_weight, "seed": seed, "epochs": epochs},
        export={"precision": precision},
    )
    train_source(job, configuration, Console(highlight=False))
    return PROVED


@app.command("tune")
def tune_command(
    source: Source,
    target: Target = None,
    study: Annotated[
        str | None, typer.Option("--study", help="The study's name; by default the source's.")
    ] = None,
    config: Config = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.toml", help="By default STUDY.toml."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", help="The study ends with so many.")] = 50,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="Processes.")] = 1,
    folds: Annotated[
        int, typer.Option("--folds", metavar="K", help="Judge by the mean of K folds.")
    ] = 1,
    grid: Annotated[
        Path | None,
        typer.Option("--grid", metavar="FILE.toml", help="Try all combinations of its lists."),
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="A database of Optuna's.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="After these no trial is started.")
    ] = None,
    task: Task = None,
    drop: Drop = None,
    kind: Kinds = None,
    test: TestFile = None,
    split: Split = None,
    group: Group = None,
    time: Time = None,
    weight: Weight = None,
    header: Header = None,
    names: Names = None,
    missing: Missing = None,
    class_weight: ClassWeight = None,
    seed: Seed = None,
    epochs: Epochs = None,
) -> int:
    """Search for better settings; the same command goes on with a study that was interrupted."""
    from rich.console import Console

    from train.configuration.flags import configured
    from train.job import model_name
    from train.tune.command import tune_source
    from train.tune.tune import Plan

    plan = Plan(
        study or model_name(source),
        storage,
        trials,
        jobs,
        folds,
        limit_s=None if minutes is None else 60 * minutes,
    )
    configuration = configured(
        config,
        kind,
        data={
            "target": target,
            "task": task,
            "drop": drop,
            "test": test,
            "split": split,
            "group": group,
            "time": time,
            "weight": weight,
            "header": header,
            "names": names.split(",") if names else None,
            "missing": missing,
        },
        training={"class_weight": class_weight, "seed": seed, "epochs": epochs},
    )
    interrupted = tune_source(source, configuration, plan, grid, output, Console(highlight=False))
    return INTERRUPTED if interrupted else PROVED


@app.command()
def audit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Model files: .onnx, .ts or .pt.")
    ],
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Ask of .onnx files whether no partial sum can round, too."),
    ] = False,
    unconfined: Annotated[
        bool,
        typer.Option("--unconfined", help="Load TorchScript in this process, with all its rights."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Find every operator in FILE... that is, or may enter, training mode.

    Loading TorchScript runs what the file says: it is read in a process that can do nothing else.
    """
    worst = PROVED
    entries: list[dict[str, Any]] = []
    for file in files:
        entry, code = _audit(file, exact=exact, unconfined=unconfined, quiet=as_json)
        entries.append(entry)
        worst = max(worst, code)
    if as_json:
        _print_json({"files": entries})
    return worst


def _audit(file: Path, *, exact: bool, unconfined: bool, quiet: bool) -> tuple[dict[str, Any], int]:
    """Audit one file: what JSON says of it, and its exit code; no error of it ends the others."""
    from rich.console import Console

    from lockstep.display import audit_text

    console = Console(highlight=False)
    entry: dict[str, Any] = {"file": str(file)}
    try:
        data = _model_bytes(file)
        report = _report(str(file), data, unconfined=unconfined)
    except LockstepError as error:  # a missing torch too: here and now the file cannot be read
        return entry | {"verdict": "unreadable", **_told(error)}, _complain(str(error), UNREADABLE)
    entry |= {"verdict": report.verdict, **report.model_dump(mode="json")}
    code = PROVED if report.verdict == "clean" else DISPROVED
    if not quiet:
        console.print(audit_text(str(file), report), soft_wrap=True)
    if not exact:
        return entry, code
    try:
        theorem = _exactness(file, data)
    except LockstepError as error:
        complained = _complain(str(error), exit_code(error))
        return entry | {"exactness": _told(error)}, max(code, complained)
    if not quiet:
        console.print(f"  arithmetic: {theorem}", soft_wrap=True, markup=False)
    held = PROVED if theorem.verdict == "exact" else DISPROVED
    return entry | {"exactness": theorem.model_dump(mode="json")}, max(code, held)


def _model_bytes(file: Path) -> bytes:
    if file.suffix.lower() not in {".onnx", ".ts", ".pt", ".pth"}:
        raise Unreadable(f"Expected a model file, .onnx, .ts or .pt, got {file}.")
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from error


def _report(file: str, data: bytes, *, unconfined: bool) -> AuditReport:
    if unconfined or file.lower().endswith(".onnx"):
        from lockstep.proof.prove import audit_file

        return audit_file(file, data)
    from lockstep.proof.confined.audit import audit_confined

    return audit_confined(file, data)


def _exactness(file: Path, data: bytes) -> Exactness:
    from lockstep.proof.audit_onnx import read_onnx
    from lockstep.proof.exact import exactness

    if file.suffix.lower() != ".onnx":
        raise InvalidSetting(f"--exact reads the theorem off an .onnx file, got {file}.")
    return exactness(read_onnx(data, source=str(file)))


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
        from lockstep.display import show_sealed

        show_sealed(Console(highlight=False), artifact, certificate)
    return PROVED


@app.command()
def predict(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An artifact: models/NAME/VERSION.")
    ],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE", help="A CSV, Parquet, Arrow or .npy file; - is CSV on stdin."
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


def _told(error: LockstepError) -> dict[str, str]:
    return {"error": str(error), "kind": type(error).__name__}


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
            _print_json(_told(error))
        raise


if __name__ == "__main__":
    sys.exit(main())
