"""The torchscript engine: the only home of torch.jit."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import TensorSpec
from lockstep.artifact.sources import torchscript_without_sources
from lockstep.engine.engine import EngineName, Outputs
from lockstep.errors import EngineFailure, Unreadable


class TorchScriptEngine:
    """Runs a frozen TorchScript module on the processor, without gradients."""

    name: EngineName = "torchscript"

    def __init__(
        self, module: torch.nn.Module, outputs: Sequence[TensorSpec], threads: int
    ) -> None:
        # Only the compiled method is kept: nothing that is reachable has a mode to change.
        self._forward = module.forward
        self._outputs = len(outputs)
        self._threads = threads

    def run(self, features: FeatureArray) -> Outputs:
        """Run a whole batch; see :class:`lockstep.engine.engine.Engine`."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            # The optimising executor specialises a graph after its first runs, and so could change
            # its answers. Whether it is on is a fact of the thread, so it is said at every run.
            with torch.inference_mode(), _optimising(on=False):
                answer = self._forward(torch.from_numpy(_writable(features)))
        except (RuntimeError, ValueError, IndexError, torch.jit.Error) as error:
            raise EngineFailure(f"torch could not run the rows: {_last_line(error)}") from error
        outputs = answer if isinstance(answer, tuple | list) else (answer,)
        if len(outputs) != self._outputs:
            raise EngineFailure(f"expected {self._outputs} outputs of torch, got {len(outputs)}.")
        return tuple(output.numpy() for output in outputs)


def open_model(
    model: bytes, outputs: Sequence[TensorSpec], *, threads: int, optimised: bool
) -> TorchScriptEngine:
    """Open a TorchScript file's bytes.

    Args:
        model: the file's bytes.
        outputs: the module's outputs, in order.
        threads: intra-op threads; torch has one number for the whole process.
        optimised: has no counterpart here: the optimising executor is always off.

    Raises:
        Unreadable: where torch cannot load them.
    """
    del optimised
    return TorchScriptEngine(load_module(model), outputs, threads)


def load_module(model: bytes) -> torch.nn.Module:
    """Load a TorchScript file's bytes onto the processor.

    Loading runs what the file says: hold the bytes to a digest that you trust first.

    Raises:
        Unreadable: where torch cannot load them.
    """
    try:
        with _deprecation_silenced():
            load: Any = torch.jit.load  # torch leaves it without annotations
            module: torch.nn.Module = load(io.BytesIO(model), map_location="cpu")
    except (RuntimeError, ValueError, EOFError, torch.jit.Error) as error:
        raise Unreadable(
            f"torch cannot load the file as TorchScript: {_last_line(error)} "
            f"A file of weights alone (a state_dict) is no model; export it first."
        ) from error
    return module


def freeze(module: torch.nn.Module, sample: FeatureArray) -> bytes:
    """Trace a module in eval mode and freeze it: no ``training`` attribute is left in the file.

    Args:
        module: in eval mode, ``forward(features)``.
        sample: float32 ``[n, ...]``, n ≥ 2.

    Returns:
        The TorchScript file's bytes, without the paths of source files that tracing notes down.
    """
    # With the optimising executor off, freezing leaves calls of submodules that it has removed.
    with _deprecation_silenced(), torch.no_grad(), _optimising(on=True):
        trace: Any = torch.jit.trace  # torch leaves it without annotations
        frozen: Any = torch.jit.freeze(trace(module, torch.from_numpy(_writable(sample))))
        buffer = io.BytesIO()
        torch.jit.save(frozen, buffer)
    return torchscript_without_sources(buffer.getvalue())


def _optimising(*, on: bool) -> AbstractContextManager[None]:
    """The optimising executor of this thread; torch publishes no name that turns it off."""
    return torch.jit.optimized_execution(on)  # type: ignore[attr-defined]  # unlisted


def _writable(features: FeatureArray) -> FeatureArray:
    """Torch warns of an array that it may not write to (a request's own bytes): give a copy."""
    return features if features.flags.writeable else features.copy()


@contextmanager
def _deprecation_silenced() -> Iterator[None]:
    """torch.jit says at every call that it is deprecated; only this file relies on it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        yield


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
