"""Applications that many tests ask: wired once a session, never changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from lockstep.artifact.columns import Column
from lockstep.artifact.folder import ONNX
from lockstep.artifact.golden import Golden, golden_features
from lockstep.artifact.manifest import Manifest, TensorSpec
from lockstep.engine.engine import open_engine
from lockstep.imported import import_onnx
from lockstep.seal import seal
from lockstep_service.app import create_app
from lockstep_service.settings import Settings
from serving import copied, model_of

if TYPE_CHECKING:
    from fastapi import FastAPI

# Missing is 7, green is twice as much as red: one row tells which value was where.
GAUGE = """
gauge (float[batch, 2] features) => (float[batch, 1] prediction)
<float[2, 1] weights = {1.0, 100.0}, float seven = {7.0}>
{
    missing = IsNaN(features)
    filled = Where(missing, seven, features)
    prediction = MatMul(filled, weights)
}
"""
TWO_OUTPUTS = """
pair (float[batch, 2, 3] image) => (float[batch, 6] flat, int64[batch] place)
<int64[1] last = {1}>
{
    flat = Flatten <axis = 1> (image)
    place = ArgMax <axis = 1, keepdims = 0> (flat)
}
"""


@pytest.fixture(scope="session")
def app(models: Path) -> FastAPI:
    """Serves wine, version 1, with the onnx engine."""
    return create_app(Settings(models=models))


@pytest.fixture(scope="session")
def torchscript_app(models: Path) -> FastAPI:
    """The same with the torchscript engine."""
    return create_app(Settings(models=models, engine="torchscript"))


@pytest.fixture(scope="session", params=["onnx", "torchscript"])
def each_app(request: pytest.FixtureRequest) -> FastAPI:
    """Serves wine with one engine, then with the other."""
    return request.getfixturevalue("app" if request.param == "onnx" else "torchscript_app")


@pytest.fixture(scope="session")
def gauge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regression whose first column may be missing and whose second is a category."""
    columns = (
        Column(name="level", missing_allowed=True),
        Column(name="colour", kind="categorical", vocabulary=("off", "red", "green")),
    )
    model = model_of(GAUGE).SerializeToString()
    sample = np.array([[1.5, 1], [np.nan, 2], [-3, 0]], np.float32)
    features = golden_features(columns, sample, 0)
    outputs = (TensorSpec(name="prediction", datatype="FP32", shape=(-1, 1)),)
    manifest = Manifest(
        name="gauge",
        version=1,
        task="regression",
        origin="trained",
        created=datetime.now(UTC),
        columns=columns,
        inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, 2)),),
        outputs=outputs,
    )
    reference = open_engine("onnx", model, outputs).run(features)[0]
    models = tmp_path_factory.mktemp("gauge") / "models"
    written, _ = seal(
        models,
        manifest,
        {ONNX: model},
        Golden(features, {"prediction": reference}),
        papers=lambda _, __: {},
    )
    return written.path


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported model of small images with two outputs."""
    folder = tmp_path_factory.mktemp("pair")
    file = folder / "pair.onnx"
    onnx.save(model_of(TWO_OUTPUTS), file)
    written, _ = import_onnx(file, folder / "models", "pair")
    return written.path


@pytest.fixture(scope="session")
def several(
    artifact: Path, gauge: Path, pair: Path, tmp_path_factory: pytest.TempPathFactory
) -> FastAPI:
    """Serves wine, gauge and pair; wine where no model is named."""
    models = tmp_path_factory.mktemp("several") / "models"
    for path in (artifact, gauge, pair):
        copied(path, models)
    return create_app(Settings(models=models, default_model="wine"))
