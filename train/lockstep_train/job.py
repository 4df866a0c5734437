"""A training that was ordered: what is to be trained, and where it goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lockstep.artifact.folder import check_writable
from lockstep.artifact.manifest import NAME_PATTERN
from lockstep.errors import InvalidSetting
from lockstep.table.delimited import DELIMITED
from lockstep.table.frame import ARROW, PARQUET

SOURCE_SUFFIXES = (".gz", *DELIMITED, *PARQUET, *ARROW, ".npz")


@dataclass(frozen=True)
class Job:
    """What is to be trained, and where it goes.

    Attributes:
        source: a path, or the name of a built-in data set.
        name: of the model.
        models: the repository.
        folds: for cross-validation; None trains once.
        ensemble: with folds: their networks become the artifact.
        resume: go on where an interrupted training was.
    """

    source: str
    name: str
    models: Path
    folds: int | None = None
    ensemble: bool = False
    resume: bool = False

    @property
    def writes(self) -> bool:
        """Whether an artifact is to be written."""
        return self.folds is None or self.ensemble

    def __post_init__(self) -> None:
        if self.ensemble and self.folds is None:
            raise InvalidSetting("--fold-ensemble needs --folds K: it is made of the K networks.")
        if self.resume and self.folds is not None:
            raise InvalidSetting(
                "--resume continues one training, not --folds: leave out one of the two."
            )
        if self.writes:
            check_writable(self.models, self.name)


def model_name(source: str) -> str:
    """The name of a model that is trained on a source, where none is given.

    Raises:
        InvalidSetting: where the source's own name makes none.
    """
    path = Path(source)
    stem = path.resolve().name if path.exists() else path.name
    for suffix in SOURCE_SUFFIXES:
        stem = stem.removesuffix(suffix)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("_.-")[:64]
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidSetting(f"{source} makes no name for a model: give one with --name NAME.")
    return name
