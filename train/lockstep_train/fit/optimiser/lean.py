"""Adam and AdamW on the CPU, whose step costs little more than its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from lockstep_train.fit.optimiser import kernels
from lockstep_train.fit.optimiser.adam import TorchAdam
from lockstep_train.fit.optimiser.flat import Flat
from lockstep_train.fit.optimiser.gradients import bound_gradients, bound_together


class _ParameterGroup(NamedTuple):
    """What the kernel needs of a parameter group, and one count of steps for all of it."""

    settings: Mapping[str, Any]
    values: Tensor
    gradients: Tensor
    means: Tensor
    squares: Tensor
    counted: Tensor

    def move(self) -> None:
        settings = self.settings
        self.counted.add_(1)
        # What torch's own step ends with.
        kernel = kernels.adamw_ if settings["decoupled_weight_decay"] else kernels.adam_
        kernel(
            [self.values],
            [self.gradients],
            [self.means],
            [self.squares],
            [],
            [self.counted],
            lr=settings["lr"],
            beta1=settings["betas"][0],
            beta2=settings["betas"][1],
            weight_decay=settings["weight_decay"],
            eps=settings["eps"],
            amsgrad=False,
            maximize=False,
        )


class LeanAdam(TorchAdam):
    """Adam and AdamW by torch's fused kernel, called once for all parameters of a group.

    torch's own step lists and sorts the parameters anew each time and calls hooks. For a network of
    few weights that takes longer than the kernel. Here the parameters lie one after another in
    memory (`Flat`), and a step's hooks are not called. Numbers and state are torch's. Where a
    parameter has no gradient, or cannot lie there, torch's own step is taken.
    """

    _is_laid_out: bool
    _flat: Flat | None
    _groups: list[_ParameterGroup]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, as torch does; from now on the parameters lie together."""
        if not self._is_laid_out:
            self._lay_out()
        if not set_to_none:
            super().zero_grad(set_to_none)
            return
        for group in self.param_groups:  # torch's own does the same, and writes it into a profile
            for parameter in group["params"]:
                parameter.grad = None

    def bound_gradients(self, largest: float) -> None:
        """Scale the gradients down together, so that their norm is at most ``largest``, above 0."""
        if self._flat is not None and self._flat.gather():
            bound_together(self._flat.gradients, largest)
        else:
            bound_gradients(self.parameters, largest)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move the parameters against their gradients.

        Args:
            closure: computes the loss anew; torch's own step is then taken.

        Returns:
            What the closure returned.
        """
        if closure is None and self._groups and cast("Flat", self._flat).gather():
            for group in self._groups:
                group.move()
            return None
        self._settle()
        loss = cast("float | None", super().step(closure))
        self._recount()
        return loss

    step.hooked = True  # type: ignore[attr-defined]  # or torch would wrap it, to call the hooks

    def state_dict(self) -> dict[str, Any]:
        """The state, as torch's own optimiser has it."""
        self._settle()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, here or of torch's own optimiser."""
        super().load_state_dict(state_dict)
        self._forget_layout()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Move these parameters too."""
        if "_groups" in self.__dict__:  # torch adds the first ones before anything is laid out
            self._settle()
        super().add_param_group(param_group)
        self._forget_layout()

    def _forget_layout(self) -> None:
        self._is_laid_out = False
        self._flat = None
        self._groups = []

    def _lay_out(self) -> None:
        """Bring parameters and state to lie together, where they can."""
        self._is_laid_out = True
        if not Flat.can_hold(self.parameters):
            return
        self._flat = flat = Flat([group["params"] for group in self.param_groups])
        means, squares = torch.zeros_like(flat.values), torch.zeros_like(flat.values)
        views = zip(self.parameters, flat.views(means), flat.views(squares), strict=True)
        for parameter, mean, square in views:
            state = self.state[parameter]
            if state:
                mean.copy_(state["exp_avg"])
                square.copy_(state["exp_avg_sq"])
            state.setdefault("step", torch.zeros(()))
            state["exp_avg"], state["exp_avg_sq"] = mean, square
        self._groups = [
            _ParameterGroup(
                group,
                flat.values[part],
                flat.gradients[part],
                means[part],
                squares[part],
                torch.zeros(()),
            )
            for group, part in zip(self.param_groups, flat.parts, strict=True)
            if group["params"]
        ]
        self._recount()

    def _settle(self) -> None:
        """Copy the group's count of steps to the count of each of its parameters."""
        for group in self._groups:
            for parameter in group.settings["params"]:
                self.state[parameter]["step"].copy_(group.counted)

    def _recount(self) -> None:
        """Take over the parameters' own counts; where they differ, one count cannot be kept."""
        counts = {
            self.state[parameter]["step"].item() for parameter in self.parameters if self._groups
        }
        if len(counts) > 1:
            self._groups = []
        for group in self._groups:
            group.counted.fill_(*counts)
