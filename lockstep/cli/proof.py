"""`lockstep audit` and `lockstep verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lockstep.cli.exit_codes import DISPROVED, PROVED, UNREADABLE, exit_code
from lockstep.cli.options import ArtifactFolder, AsJson
from lockstep.cli.output import as_document, complain, errors_as_json, print_json
from lockstep.errors import InvalidSetting, LockstepError

if TYPE_CHECKING:
    from lockstep.proof.exact import Exactness


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

    Loading TorchScript runs code of the file, so it is loaded in a confined process.
    """
    worst = PROVED
    entries: list[dict[str, Any]] = []
    for file in files:
        entry, code = _audit(file, exact=exact, unconfined=unconfined, quiet=as_json)
        entries.append(entry)
        worst = max(worst, code)
    if as_json:
        print_json({"files": entries})
    return worst


def _audit(file: Path, *, exact: bool, unconfined: bool, quiet: bool) -> tuple[dict[str, Any], int]:
    """Audit one file: its entry for JSON and its exit code.

    Errors of the file are part of the entry, so that the other files are still audited.
    """
    from rich.console import Console

    from lockstep.display import audit_text
    from lockstep.proof.file import audit_bytes, model_bytes

    console = Console(highlight=False)
    entry: dict[str, Any] = {"file": str(file)}
    try:
        data = model_bytes(file)
        report = audit_bytes(str(file), data, unconfined=unconfined)
    except LockstepError as error:  # also EngineUnavailable: without torch it cannot be read here
        entry |= {"verdict": "unreadable", **as_document(error)}
        return entry, complain(str(error), UNREADABLE)
    entry |= {"verdict": report.verdict, **report.model_dump(mode="json")}
    code = PROVED if report.verdict == "clean" else DISPROVED
    if not quiet:
        console.print(audit_text(str(file), report), soft_wrap=True)
    if not exact:
        return entry, code
    try:
        theorem = _exactness(file, data)
    except LockstepError as error:
        complained = complain(str(error), exit_code(error))
        return entry | {"exactness": as_document(error)}, max(code, complained)
    if not quiet:
        console.print(f"  arithmetic: {theorem}", soft_wrap=True, markup=False)
    held = PROVED if theorem.verdict == "exact" else DISPROVED
    return entry | {"exactness": theorem.model_dump(mode="json")}, max(code, held)


def _exactness(file: Path, data: bytes) -> Exactness:
    from lockstep.proof.audit.onnx import read_onnx
    from lockstep.proof.exact import exactness

    if file.suffix.lower() != ".onnx":
        raise InvalidSetting(f"--exact reads the theorem off an .onnx file, got {file}.")
    return exactness(read_onnx(data, source=str(file)))


def verify(folder: ArtifactFolder, as_json: AsJson = False) -> int:
    """Verify an artifact: digests, audit, parity, golden rows, batch invariance."""
    from rich.console import Console

    from lockstep.display import certificate_table
    from lockstep.proof.verify import verify as verify_artifact

    with errors_as_json(as_json):
        found = verify_artifact(folder)
    if as_json:
        print_json({"holds": found.holds, **found.model_dump(mode="json")})
    else:
        console = Console(highlight=False)
        console.print(certificate_table(found.certificate))
        bits = ", ".join(f"{engine}: {word}" for engine, word in found.golden.items())
        console.print(f"Golden rows, against the bits at export: {bits}.", soft_wrap=True)
        word = "holds" if found.holds else "does not hold"
        console.print(f"{folder} {word} (digest {found.digest[:12]}…).", soft_wrap=True)
    for complaint in found.complaints:
        complain(complaint, DISPROVED)
    return PROVED if found.holds else DISPROVED
