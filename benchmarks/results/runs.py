"""Runs: what was measured of a model with a seed, a JSON file each, kept for the next time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.results.folds import Fold
from lockstep.errors import Unreadable

PACKAGES = ("torch", "onnxruntime", "scikit-learn", "numpy")
DIGEST_LETTERS = 12

Group = Literal["lockstep", "peer", "ablation"]


class Measured(NamedTuple):
    """What came of a measurement.

    Attributes:
        figures: on the test rows, by name.
        seconds: of processor time that the fit took, with everything that is fitted.
        facts: what else is worth keeping; goes to JSON.
    """

    figures: dict[str, float]
    seconds: float
    facts: dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """A model that is to be measured on a fold.

    Attributes:
        group: what it is there for.
        name: of the model, or of what is taken away.
        settings: everything about it that decides its figures; goes to JSON.
        measure: fits it, and looks at the test rows.
    """

    group: Group
    name: str
    settings: Mapping[str, Any]
    measure: Callable[[], Measured]


@dataclass(frozen=True)
class Run:
    """A measurement that is kept.

    Attributes:
        source: the data set.
        seed: of the fold and of every draw.
        group: of the arm.
        arm: its name.
        digest: of the fold's rows, the arm's settings and the libraries' versions.
        figures: on the test rows, by name.
        seconds: of processor time that the fit took.
        facts: what else was seen.
        settings: of the arm.
        created: when, as ISO 8601.
    """

    source: str
    seed: int
    group: Group
    arm: str
    digest: str
    figures: dict[str, float]
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    created: str = ""


def digest_of(fold: Fold, arm: Arm) -> str:
    """Sha256 of all that decides the figures, but for the code: another one is measured anew."""
    decisive = {
        "source": fold.source,
        "seed": fold.seed,
        "rows": fold.digest,
        "group": arm.group,
        "arm": arm.name,
        "settings": arm.settings,
        "versions": {package: version(package) for package in PACKAGES},
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


class Runs:
    """The folder of the runs.

    Args:
        folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, fold: Fold, arm: Arm) -> tuple[Run, bool]:
        """The run of an arm on a fold, and whether it was measured before.

        What is interrupted leaves nothing; what is measured is written before it is returned.

        Raises:
            Unreadable: the file of an earlier run is damaged.
        """
        digest = digest_of(fold, arm)
        path = self._path(fold, arm, digest)
        if path.exists():
            return _read(path), True
        measured = arm.measure()
        run = Run(
            source=fold.source,
            seed=fold.seed,
            group=arm.group,
            arm=arm.name,
            digest=digest,
            figures=measured.figures,
            seconds=measured.seconds,
            facts=measured.facts,
            settings=dict(arm.settings),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        _write(path, run)
        return run, False

    def _path(self, fold: Fold, arm: Arm, digest: str) -> Path:
        words = f"{arm.group} {arm.name} {fold.seed} {digest[:DIGEST_LETTERS]}"
        return self._folder / fold.source / f"{re.sub(r'[^A-Za-z0-9]+', '-', words)}.json"


def _write(path: Path, run: Run) -> None:
    """Write beside and rename: a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def _read(path: Path) -> Run:
    try:
        return Run(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise Unreadable(
            f"{path} must hold a run as this program wrote it, got {error}; remove it, and the run "
            "is measured again."
        ) from error
