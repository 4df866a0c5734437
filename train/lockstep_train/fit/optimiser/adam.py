"""Adam and AdamW, by torch alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.optim import Adam


class TorchAdam(Adam):
    """torch's own fused Adam, and its own bound on the gradients.

    Args:
        parameters: tensors or parameter groups.
        learning_rate: a schedule may change it in the groups.
        weight_decay: of the groups that name none.
        decoupled: AdamW (Loshchilov and Hutter 2019), instead of adding the decay to the gradient.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        decoupled: bool,
    ) -> None:
        super().__init__(
            parameters,
            lr=learning_rate,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled,
            fused=True,
        )

    def bound_gradients(self, largest: float) -> None:
        """Scale the gradients down together, so that their norm is at most ``largest``, above 0."""
        nn.utils.clip_grad_norm_(self.parameters, largest)

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters of all groups, in their order."""
        return [parameter for group in self.param_groups for parameter in group["params"]]
