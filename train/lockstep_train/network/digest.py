"""The digest of a module's state."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def state_digest(module: nn.Module) -> str:
    """Sha256 over everything that decides what a module answers.

    That is name, type, shape and bytes of each entry of its state, and the training flag of each
    of its modules.
    """
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    for name, child in module.named_modules():
        digest.update(f"{name} training={child.training}\n".encode())
    return digest.hexdigest()
