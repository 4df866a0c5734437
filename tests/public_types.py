"""What a type checker knows of the public names: `make types` reads this file, nothing runs it.

A line that is to be refused has a ``type: ignore``, which mypy reports where it is not needed.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import lockstep
from lockstep import (
    Artifact,
    LockstepClassifier,
    LockstepError,
    LockstepRegressor,
    Settings,
    __version__,
    audit,
    create_app,
    import_onnx,
    open_artifact,
    score,
    verify,
)
from lockstep.proof.audit.finding import AuditReport
from lockstep.proof.certificate import Certificate
from lockstep.proof.verify import Verification
from lockstep_service.app import Application

assert_type(audit("model.onnx"), AuditReport)
assert_type(verify("models/digits/1"), Verification)
assert_type(open_artifact(Path("models/digits/1")), Artifact)
assert_type(import_onnx("model.onnx", "models", "theirs"), tuple[Artifact, Certificate])
assert_type(score("models/digits/1", "table.csv", "scores.csv", note=print), int)
assert_type(create_app(Settings(models=Path("models"))), Application)
assert_type(LockstepClassifier(members=4).predict([[0.0]]), NDArray[Any])
assert_type(LockstepRegressor(members=4).predict([[0.0]]), NDArray[np.float32])
assert_type(LockstepError("why").args, tuple[Any, ...])
assert_type(__version__, str)

lockstep.misspelt()  # type: ignore[attr-defined]
