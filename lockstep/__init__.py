"""Train a network, prove that it is in inference mode, and serve it locked.

The names below are the public interface. Each is imported from its module on first access, so
``import lockstep`` is cheap, and a program that only audits ONNX files imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockstep.artifact.folder import Artifact, open_artifact
    from lockstep.errors import LockstepError
    from lockstep.imported import import_onnx
    from lockstep.proof.file import audit
    from lockstep.proof.verify import verify
    from lockstep.scoring.score import score
    from lockstep_service.app import create_app
    from lockstep_service.settings import Settings
    from lockstep_train.estimator.estimator import LockstepClassifier, LockstepRegressor

    __version__: str

__all__ = [
    "Artifact",
    "LockstepClassifier",
    "LockstepError",
    "LockstepRegressor",
    "Settings",
    "__version__",
    "audit",
    "create_app",
    "import_onnx",
    "open_artifact",
    "score",
    "verify",
]

HOMES = {
    "Artifact": "lockstep.artifact.folder",
    "LockstepClassifier": "lockstep_train.estimator.estimator",
    "LockstepError": "lockstep.errors",
    "LockstepRegressor": "lockstep_train.estimator.estimator",
    "Settings": "lockstep_service.settings",
    "audit": "lockstep.proof.file",
    "create_app": "lockstep_service.app",
    "import_onnx": "lockstep.imported",
    "open_artifact": "lockstep.artifact.folder",
    "score": "lockstep.scoring.score",
    "verify": "lockstep.proof.verify",
}


def _found(name: str) -> object:
    """Import a public name from its module, and keep it."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - needed for this name only

        return version("lockstep")
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = HOMES[name]
    try:
        value: object = getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if not home.startswith("lockstep_train."):
            raise
        missing = (error.name or "").partition(".")[0]
        raise ImportError(
            f"lockstep.{name} needs what training needs, and {missing} is not installed; install "
            f"lockstep[train].",
            name=error.name,
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # a type checker would take it to mean that every name exists
    __getattr__ = _found
