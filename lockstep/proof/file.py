"""The audit of an untrusted model file."""

from __future__ import annotations

from pathlib import Path

from lockstep.errors import NotFound, Unreadable
from lockstep.proof.audit.finding import AuditReport

SUFFIXES = (".onnx", ".ts", ".pt", ".pth")


def audit(file: Path | str, *, unconfined: bool = False) -> AuditReport:
    """Find every operator of a model file that is, or may enter, training mode.

    Args:
        file: ONNX or TorchScript. Loading TorchScript can run code of the file, so it is read in a
            confined process, which can do nothing else.
        unconfined: load TorchScript in this process, with all its rights.

    Raises:
        NotFound: where there is no such file.
        Unreadable: where it is not a model file or cannot be parsed, or where no process can be
            confined here.
        EngineUnavailable: where it is TorchScript and torch is not installed.
    """
    return audit_bytes(str(file), model_bytes(Path(file)), unconfined=unconfined)


def model_bytes(file: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        NotFound: where there is no such file.
        Unreadable: where its suffix is not that of a model file.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise Unreadable(f"Expected a model file, .onnx, .ts or .pt, got {file}.")
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from error


def audit_bytes(file: str, data: bytes, *, unconfined: bool = False) -> AuditReport:
    """Audit the bytes of a model file; see `audit`."""
    if unconfined or file.lower().endswith(".onnx"):
        from lockstep.proof.prove import audit_file  # noqa: PLC0415 - it imports the engines

        return audit_file(file, data)
    from lockstep.proof.confined.audit import audit_confined  # noqa: PLC0415 - for TorchScript only

    return audit_confined(file, data)
