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
        # Only the compiled method is kept: a caller cannot reach a module whose mode could change.
        self._forward = module.forward
        self._outputs = len(outputs)
        self._threads = threads

    def run(self, features: FeatureArray) -> Outputs:
        """Run a whole batch; see :class:`lockstep.engine.engine.Engine`."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            # The optimising executor specialises a graph after its first runs, and so could change
            # its answers. The switch belongs to the thread, so it is set at every run.
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
        optimised: ignored: the optimising executor is always off.

    Raises:
        Unreadable: where torch cannot load them.
    """
    del optimised
    return TorchScriptEngine(load_module(model), outputs, threads)


def load_module(model: bytes) -> torch.nn.Module:
    """Load a TorchScript file's bytes onto the processor.

    Loading can run code of the file: check the bytes against a trusted digest first.

    Raises:
        Unreadable: where torch cannot load them.
    """
    try:
        with _deprecation_silenced():
            load: Any = torch.jit.load  # torch has no annotation for it
            module: torch.nn.Module = load(io.BytesIO(model), map_location="cpu")
    except (RuntimeError, ValueError, EOFError, torch.jit.Error) as error:
        raise Unreadable(
            f"torch cannot load the file as TorchScript: {_last_line(error)} "
            f"A file of weights alone (a state_dict) is no model; export it first."
        ) from error
    return module


def freeze(module: torch.nn.Module, sample: FeatureArray) -> bytes:
    """Trace a module in eval mode and freeze it, so that the file has no ``training`` attribute.

    Args:
        module: in eval mode, ``forward(features)``.
        sample: float32 ``[n, ...]``, n ≥ 2.

    Returns:
        The TorchScript file's bytes, without the paths of source files that tracing records.
    """
    # With the optimising executor off, freezing keeps calls of submodules that it has removed.
    with _deprecation_silenced(), torch.no_grad(), _optimising(on=True):
        trace: Any = torch.jit.trace  # torch has no annotation for it
        frozen: Any = torch.jit.freeze(trace(module, torch.from_numpy(_writable(sample))))
        buffer = io.BytesIO()
        torch.jit.save(frozen, buffer)
    return torchscript_without_sources(buffer.getvalue())


def _optimising(*, on: bool) -> AbstractContextManager[None]:
    """Switch the optimising executor of this thread; torch has no public name for it."""
    return torch.jit.optimized_execution(on)  # type: ignore[attr-defined]  # unlisted


def _writable(features: FeatureArray) -> FeatureArray:
    """Copy a read-only array (a request's own bytes), since torch warns of those."""
    return features if features.flags.writeable else features.copy()


@contextmanager
def _deprecation_silenced() -> Iterator[None]:
    """Silence the deprecation warnings of torch.jit, which only this file uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        yield


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
