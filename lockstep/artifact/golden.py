"""Golden rows: inputs, with the outputs of the network and each engine at export."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import Column, FeatureArray
from lockstep.errors import Unreadable

TYPICAL_ROWS = 64
EXTREME_COLUMNS = 16
OUTLIER_SCALE = 1e3

NamedOutputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Golden:
    """Inputs and recorded outputs.

    Attributes:
        features: float32 ``[n, ...]``, n ≥ 64.
        reference: outputs by name, each ``[n, ...]``, of the eager network in eval mode (trained)
            or of the model with optimisations off (imported).
        engines: for each engine, its outputs by name on the exporting machine.
    """

    features: FeatureArray
    reference: NamedOutputs
    engines: Mapping[str, NamedOutputs] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file's content, an uncompressed npz."""
        arrays: dict[str, NDArray[Any]] = {"features": self.features}
        arrays |= {f"reference.{name}": array for name, array in self.reference.items()}
        for engine, outputs in self.engines.items():
            arrays |= {f"{engine}.{name}": array for name, array in outputs.items()}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{k: _plain(v) for k, v in arrays.items()})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read golden rows.

        Raises:
            Unreadable: where it is no npz of plain arrays, or lacks features or reference.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            features = arrays.pop("features")
        except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise Unreadable(f"golden.npz holds no golden rows: {error}.") from error
        engines: dict[str, dict[str, NDArray[Any]]] = {}
        for key, array in arrays.items():
            engine, _, name = key.partition(".")
            engines.setdefault(engine, {})[name] = array
        reference = engines.pop("reference", None)
        if reference is None:
            raise Unreadable("golden.npz holds no reference outputs.")
        return cls(features, reference, engines)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Strings as fixed-width text, so that no pickle is ever written."""
    return array.astype(np.str_) if array.dtype == object else array


def golden_features(columns: Sequence[Column], sample: FeatureArray, seed: int) -> FeatureArray:
    """Choose golden rows: typical and extreme ones; unseen and missing values where allowed.

    Args:
        columns: the ``d`` columns, with their statistics.
        sample: ``[n, d]`` rows of the training split.
        seed: of the random choice.

    Returns:
        float32 ``[m, d]`` with m ≥ 64.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(sample))[:TYPICAL_ROWS]
    typical = sample[np.resize(chosen, TYPICAL_ROWS)]
    low = np.array([_least(column) for column in columns], np.float32)
    high = np.array([_most(column) for column in columns], np.float32)
    drawn = generator.permutation(len(columns))[:EXTREME_COLUMNS]
    unknown = [j for j, column in enumerate(columns) if column.unknown_allowed]
    missing = [j for j, column in enumerate(columns) if column.missing_allowed]
    never_seen = np.array([len(column.vocabulary or ()) for column in columns], np.float32)
    absent = np.full(len(columns), np.nan, np.float32)
    special = [
        low,
        high,
        *(_with(typical, [j], high if j % 2 else low) for j in drawn),
        *_one_each_and_all(typical, unknown, never_seen),
        *_one_each_and_all(typical, missing, absent),
    ]
    return np.concatenate([typical, np.stack(special)]).astype(np.float32)


def _with(typical: FeatureArray, places: Sequence[int], values: FeatureArray) -> FeatureArray:
    """A typical row with other values in some columns."""
    row: FeatureArray = typical[places[0] % TYPICAL_ROWS].copy()
    row[places] = values[places]
    return row


def _one_each_and_all(
    typical: FeatureArray, places: Sequence[int], values: FeatureArray
) -> list[FeatureArray]:
    """For each of the first places a row changed there only; then one row changed at all places."""
    each = [_with(typical, [j], values) for j in places[:EXTREME_COLUMNS]]
    return [*each, _with(typical, places, values)] if places else each


def _least(column: Column) -> float:
    return column.statistics.minimum if column.kind == "numeric" and column.statistics else 0.0


def _most(column: Column) -> float:
    if column.kind == "boolean":
        return 1.0
    if column.kind == "categorical":
        return float(max(len(column.vocabulary or ()) - 1, 0))
    return column.statistics.maximum if column.statistics else 0.0


def golden_tensors(shape: Sequence[int], seed: int) -> FeatureArray:
    """Golden rows for a model whose training data is unknown.

    Args:
        shape: of one instance.
        seed: of the draw.

    Returns:
        float32 ``[m, *shape]`` with m ≥ 64: normal rows at the scales 0.1, 1 and 10, and constants.
    """
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((TYPICAL_ROWS, *shape)) * np.resize(
        [1.0, 1.0, 10.0, 0.1], (TYPICAL_ROWS, *[1] * len(shape))
    )
    constants = [np.full(tuple(shape), value) for value in (0.0, 1.0, -1.0, 100.0)]
    return np.concatenate([rows, np.stack(constants)]).astype(np.float32)


def outliers(columns: Sequence[Column], rows: FeatureArray) -> FeatureArray:
    """Rows far outside the training data, as neighbours in the test of batch invariance.

    Args:
        columns: the ``d`` columns; empty where an instance is itself a tensor.
        rows: ``[n, ...]`` valid rows.

    Returns:
        float32 of the same shape: numeric values moved by 1000 standard deviations, codes kept.
    """
    if not columns:
        return (rows * np.float32(OUTLIER_SCALE)).astype(np.float32)
    far = rows.astype(np.float64)
    for j, column in enumerate(columns):
        if column.kind == "numeric":
            spread = column.statistics.std if column.statistics else 1.0
            sign = np.where(np.arange(len(rows)) % 2, -1.0, 1.0)
            far[:, j] += sign * OUTLIER_SCALE * (spread or 1.0)
    limit = float(np.finfo(np.float32).max) / 2
    return np.clip(far, -limit, limit).astype(np.float32)
