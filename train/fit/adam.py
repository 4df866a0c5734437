"""Adam and AdamW, whose step costs little more than its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.optim import Adam


class _Group(NamedTuple):
    """What the kernel needs of a parameter group, and one count of steps for all of them."""

    settings: Mapping[str, Any]
    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    counted: Tensor


class LeanAdam(Adam):
    """Adam by torch's fused kernel, called on lists that are made once.

    torch's own step lists and sorts the parameters anew each time, which for a network of few
    weights takes longer than the kernel. Bits and state are torch's. Where the lists do not say
    everything (in the first step, beside the CPU, with a parameter that has no gradient or joined
    later) torch's own step is taken.

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
        self._listed: list[_Group] = []

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move the parameters against their gradients.

        Args:
            closure: computes the loss anew; torch's own step is then taken.

        Returns:
            What the closure returned.
        """
        gradients = [[tensor.grad for tensor in group.parameters] for group in self._listed]
        if closure is not None or not self._are_enough(gradients):
            self._settle()
            loss = cast("float | None", super().step(closure))
            self._listed = self._lists()
            return loss
        self._move(cast("list[list[Tensor]]", gradients))
        return None

    def state_dict(self) -> dict[str, Any]:
        """The state, as torch's own optimiser has it."""
        self._settle()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; its tensors are others than those that were listed."""
        super().load_state_dict(state_dict)
        self._listed = []

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Move these parameters too."""
        super().add_param_group(param_group)
        self._listed = []

    def _settle(self) -> None:
        """Tell each parameter's own count what was counted for all."""
        for group in self._listed:
            for step in group.steps:
                step.copy_(group.counted)

    @staticmethod
    def _are_enough(gradients: list[list[Tensor | None]]) -> bool:
        return bool(gradients) and not any(
            gradient is None for listed in gradients for gradient in listed
        )

    @torch.no_grad()
    def _move(self, gradients: list[list[Tensor]]) -> None:
        for group, listed in zip(self._listed, gradients, strict=True):
            settings = group.settings
            group.counted.add_(1)
            # What torch's own step ends with; it has no public name for it.
            kernel = (
                torch._fused_adamw_ if settings["decoupled_weight_decay"] else torch._fused_adam_
            )
            kernel(
                group.parameters,
                listed,
                group.means,
                group.squares,
                [],
                [group.counted] * len(listed),
                lr=settings["lr"],
                beta1=settings["betas"][0],
                beta2=settings["betas"][1],
                weight_decay=settings["weight_decay"],
                eps=settings["eps"],
                amsgrad=False,
                maximize=False,
            )

    def _lists(self) -> list[_Group]:
        """The lists of every group; none where they could not say everything."""
        parameters = [tensor for group in self.param_groups for tensor in group["params"]]
        if any(tensor.device.type != "cpu" or not self.state[tensor] for tensor in parameters):
            return []
        if len({self.state[tensor]["step"].item() for tensor in parameters}) != 1:
            return []
        return [
            _Group(
                group,
                group["params"],
                [self.state[tensor]["exp_avg"] for tensor in group["params"]],
                [self.state[tensor]["exp_avg_sq"] for tensor in group["params"]],
                [self.state[tensor]["step"] for tensor in group["params"]],
                self.state[parameters[0]]["step"].clone(),
            )
            for group in self.param_groups
            if group["params"]
        ]
