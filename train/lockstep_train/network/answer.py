"""What a member's outputs become when they are served."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Probabilities(nn.Module):
    """Logits → probabilities, softened or sharpened by a temperature.

    ``softmax(logits / temperature)``; the temperature, a buffer, is 1 until calibration sets it
    (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017). A division
    by 1 changes no bit, and the ONNX exporter leaves it out.

    Shape: ``[n, n_classes]`` → ``[n, n_classes]``.
    """

    temperature: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.tensor(1.0))

    def forward(self, logits: Tensor) -> Tensor:
        """Probabilities of ``[n, n_classes]``."""
        return functional.softmax(logits / self.temperature, dim=1)
