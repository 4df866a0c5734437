"""TorchScript files whose loading runs what their maker wrote: they call ``__setstate__``."""

from __future__ import annotations

import io
import textwrap
import warnings

import torch
from torch import nn


def hostile(body: str) -> bytes:
    """The file of a module that runs a few lines of TorchScript when it is loaded.

    Args:
        body: statements; what they make must reach ``self.held``, else it is optimised away.
    """

    class Hostile(nn.Module):  # a class for each file: torch compiles the methods of a class once
        def __init__(self) -> None:
            super().__init__()
            self.held = torch.zeros(1)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows + self.held

    saving = "def __getstate__(self):\n    return (self.training, 1)\n"
    loading = (
        "def __setstate__(self, state: Tuple[bool, int]):\n"
        "    self.training = state[0]\n"
        "    self.held = torch.zeros(1)\n"
        f"{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        module = torch.jit.script(Hostile().eval())
        for method in (saving, loading):
            module.define(method)
        buffer = io.BytesIO()
        torch.jit.save(module, buffer)
    return buffer.getvalue()
