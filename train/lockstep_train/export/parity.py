"""Parity beyond the golden rows: on every row of the test split, and on codes that mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lockstep.artifact.columns import Column, FeatureArray
from lockstep.artifact.manifest import Precision, Task, TensorSpec
from lockstep.engine.engine import MODEL_FILES, EngineName, open_engine
from lockstep.engine.tile import pieces
from lockstep.errors import ParityBroken
from lockstep.proof.parity import Parity, compare

RUN_ROWS = 1024
"""Rows of one run of an engine: the memory that a run takes does not grow with the split."""

NONSENSE_ROWS = 64

Predictor = Callable[[FeatureArray], NDArray[Any]]


class RowsParity(BaseModel):
    """How far the forms of the network are apart on one set of rows.

    Attributes:
        of: what the rows are.
        parity: of each two forms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: str
    parity: tuple[Parity, ...]


def measure_parity(
    eager: Predictor,
    files: Mapping[str, bytes],
    output: TensorSpec,
    task: Task,
    rows: Mapping[str, FeatureArray],
    precision: Precision = "float32",
) -> tuple[RowsParity, ...]:
    """Compare the eager network and its files, each two of them, on sets of rows.

    Args:
        eager: answers ``[n, d]`` features in eval mode.
        files: ``model.onnx`` and ``model.ts``.
        output: the files' output.
        task: of the network.
        rows: features ``[n, d]``, by what they are.
        precision: of the network.

    Raises:
        ParityBroken: two forms differ by more than the bound on the golden rows would be.
    """
    forms: dict[str, Predictor] = {"eager": eager}
    forms |= {name: _engine(name, files[file], output) for name, file in MODEL_FILES.items()}
    measured = tuple(
        RowsParity(of=of, parity=_pairs(forms, output.name, (task, precision), features))
        for of, features in rows.items()
    )
    for group in measured:
        for parity in group.parity:
            if not parity.holds:
                raise ParityBroken(
                    f"{parity.left} and {parity.right} differ by {parity.max_abs:.3g} in "
                    f"{parity.output} on {group.of}, more than {parity.bound:.3g}; export the "
                    "network again."
                )
    return measured


def _pairs(
    forms: Mapping[str, Predictor],
    output: str,
    kind: tuple[Task, Precision],
    features: FeatureArray,
) -> tuple[Parity, ...]:
    answers = {name: _in_runs(answer, features) for name, answer in forms.items()}
    names = list(answers)
    return tuple(
        compare(left, right, output, (answers[left], answers[right]), *kind)
        for i, left in enumerate(names)
        for right in names[i + 1 :]
    )


def _in_runs(answer: Predictor, features: FeatureArray) -> NDArray[Any]:
    return np.concatenate([answer(rows) for rows in pieces(features, RUN_ROWS)])


def _engine(name: EngineName, file: bytes, output: TensorSpec) -> Predictor:
    engine = open_engine(name, file, (output,))
    return lambda features: engine.run(np.ascontiguousarray(features))[0]


def nonsense(columns: Sequence[Column], rows: FeatureArray) -> FeatureArray | None:
    """Rows with codes that mean nothing, which every form must answer alike, and none may fail.

    They are refused before they reach a model; should one get through, a whole merged batch must
    not fail for it.

    Args:
        columns: the ``d`` columns.
        rows: ``[n, d]`` valid rows.

    Returns:
        ``[64, d]`` with −1, 1.7, 99 past the last, or NaN at each code; None without codes.
    """
    places = [j for j, column in enumerate(columns) if column.kind != "numeric"]
    if not places:
        return None
    spoiled = rows[np.resize(np.arange(len(rows)), NONSENSE_ROWS)].copy()
    for offset, j in enumerate(places):
        codes = np.array([-1, 1.7, columns[j].largest_code + 99, np.nan])
        spoiled[:, j] = np.resize(np.roll(codes, offset), NONSENSE_ROWS)
    return spoiled
