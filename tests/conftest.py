"""Artifacts that many tests read: real ones, trained, proved and sealed once a session."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from small import Small


# A slow machine is no failure; and what CI draws is what it drew before, so that a red run means
# that something has changed. At a desk every run draws anew.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(scope="session", autouse=True)
def _onnx_functions() -> Iterator[None]:
    """Have torch read its table of ONNX functions once a session, not for each file it exports.

    The table is not changed by an export, and takes half of the time of a small one.
    """
    if "torch" not in sys.modules:  # few files will be exported, or none
        yield
        return
    from torch.onnx._internal.exporter._registration import ONNXRegistry  # noqa: PLC0415

    once = staticmethod(cache(ONNXRegistry.from_torchlib))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", once)
        yield


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A fitted network, its dataset, its figures and the artifact ``models/wine/1``, in float32."""
    from small import small  # noqa: PLC0415 - only the tests that ask for it pay for torch

    return small("wine", tmp_path_factory.mktemp("wine") / "models", "float32")


@pytest.fixture(scope="session")
def artifact(wine: Small) -> Path:
    """Folder of a sealed artifact, a classifier of 13 columns and 3 classes; not to be changed."""
    return wine.path


@pytest.fixture(scope="session")
def models(artifact: Path) -> Path:
    """The repository that holds the artifact as ``wine/1``, and nothing else; not to be changed."""
    return artifact.parent.parent


@pytest.fixture(scope="session")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The same for a regression in exact precision: ``models/diabetes/1``, 10 columns."""
    from small import small  # noqa: PLC0415 - only the tests that ask for it pay for torch

    return small("diabetes", tmp_path_factory.mktemp("diabetes") / "models")


@pytest.fixture
def artifact_copy(artifact: Path, tmp_path: Path) -> Path:
    """A copy of the artifact that a test may spoil."""
    return Path(shutil.copytree(artifact, tmp_path / "copied" / "wine" / "1"))


@pytest.fixture
def onnx_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes an ONNX file from its text form: the graph, the operators' opset before it."""

    def write(graph: str, *, opsets: str = '"" : 18', name: str = "model.onnx") -> Path:
        model = onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{opsets}]>\n{graph}")
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return write
