"""The interface of every engine, and how one is opened."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

from numpy.typing import NDArray

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import ONNX, TORCHSCRIPT
from lockstep.artifact.manifest import TensorSpec
from lockstep.errors import EngineUnavailable, InvalidSetting

EngineName = Literal["onnx", "torchscript"]
MODEL_FILES: dict[EngineName, str] = {"onnx": ONNX, "torchscript": TORCHSCRIPT}

Outputs = tuple[NDArray[Any], ...]


class Engine(Protocol):
    """Runs rows in inference mode. It gives no access to the module or to its mode."""

    @property
    def name(self) -> EngineName:
        """The engine's name."""

    def run(self, features: FeatureArray) -> Outputs:
        """Run a whole batch.

        Args:
            features: float32 ``[n, ...]``, n ≥ 1, C-contiguous.

        Returns:
            The outputs in the manifest's order, each with ``n`` rows.

        Raises:
            EngineFailure: where the library could not run them.
        """


def check_engine_name(name: str) -> EngineName:
    """Check that a word is an engine's name, and return it.

    Raises:
        InvalidSetting: for any other word.
    """
    for known in get_args(EngineName):
        if name == known:
            return known  # type: ignore[no-any-return]  # get_args is untyped
    raise InvalidSetting(f"The engine must be onnx or torchscript, however: {name!r}.")


def open_engine(
    name: EngineName,
    model: bytes,
    outputs: Sequence[TensorSpec],
    *,
    threads: int = 1,
    optimised: bool = True,
) -> Engine:
    """Open a model file's bytes with an engine.

    The library is imported here, so that the other engine costs nothing.

    Args:
        name: which engine.
        model: the file's bytes; the caller has checked their digest.
        outputs: the outputs in the order in which ``run`` returns them.
        threads: intra-op threads of one run.
        optimised: whether the library's own optimisations are on.

    Raises:
        EngineUnavailable: where the engine's library is not installed.
        Unreadable: where the library cannot load the file.
    """
    try:
        module = importlib.import_module(f"lockstep.engine.{name}")
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The {name} engine needs {error.name}, which is not installed; "
            f"install lockstep[{name}], or use the onnx engine."
        ) from error
    engine: Engine = module.open_model(model, outputs, threads=threads, optimised=optimised)
    return engine
