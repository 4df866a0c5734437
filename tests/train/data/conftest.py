"""Small tables on disk, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.sources.frame import dataset_of
from lockstep_train.data.sources.load import load


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Dataset]:
    """Writes a text as a file and loads it; keywords are settings of the section data."""

    def load_text(
        text: str | bytes,
        *,
        name: str = "table.csv",
        columns: Mapping[str, str] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        **data: Any,
    ) -> Dataset:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        settings = {"data": {"target": "y", **data}, "columns": columns or {}}
        settings["preprocessing"] = preprocessing or {}
        return load(str(path), Configuration.model_validate(settings))

    return load_text


@pytest.fixture
def framed() -> Callable[..., Dataset]:
    """Makes a dataset of columns of 60 rows beside a numeric one, ``x``, and a target ``y``."""

    def make(
        columns: Mapping[str, Any],
        *,
        kinds: Mapping[str, str] | None = None,
        seed: int = 0,
        preprocessing: Mapping[str, Any] | None = None,
        **data: Any,
    ) -> Dataset:
        rows = max((len(values) for values in columns.values()), default=60)
        generator = np.random.default_rng(5)
        plain = {"x": generator.normal(size=rows), "y": generator.choice(["no", "yes"], rows)}
        frame = pl.DataFrame({**plain, **columns}, strict=False)
        settings = {
            "data": {"target": "y", **data},
            "columns": kinds or {},
            "training": {"seed": seed},
            "preprocessing": preprocessing or {},
        }
        return dataset_of(frame, Configuration.model_validate(settings))

    return make
