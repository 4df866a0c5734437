"""Max-norm: a bound on the weights that enter a unit."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from lockstep_train.network.member import Member
from lockstep_train.network.network import Network


def clip_norms(network: Network, limit: float) -> None:
    """Bring the weights of each hidden unit back to a largest norm; called after each step.

    A unit whose incoming weights have an L2 norm above the limit is scaled down to it, others are
    left alone (Srivastava et al., "Dropout", JMLR 2014, section 5.1). Heads, biases, BatchNorm and
    embeddings are not bounded.

    Args:
        network: its weights are changed in place.
        limit: the largest norm, above 0.
    """
    with torch.no_grad():
        for member in network.members:
            for layer in cast("Member", member).blocks.modules():
                if isinstance(layer, nn.Linear):
                    norms = torch.linalg.vector_norm(layer.weight, dim=1, keepdim=True)
                    layer.weight.mul_((limit / norms).clamp(max=1))
