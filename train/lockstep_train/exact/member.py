"""A member in exact arithmetic: its blocks, and the sums of its head."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from lockstep_train.exact.grid import Columns, FloatArray, balanced_bits
from lockstep_train.exact.layer import Clip, ExactHead, ExactLinear, folded
from lockstep_train.exact.tabulated import ARGUMENT_BITS, TabulatedFunction
from lockstep_train.network.block import Block
from lockstep_train.network.member import Member

# Beyond these places an activation is a straight line to within the grid of its answers.
_ENDS = 16
_CELL_BITS = 9
_LEAST_REACH = 2.0**-10


class ExactMember(nn.Module):
    """Linear, activation and grid, block by block; then the sums of the head.

    Shape: ``[width, n]`` whole numbers, the rows side by side → ``[n, n_outputs]`` sums.

    Args:
        fitted: the member.
        inputs: the columns that enter.
        sample: training's rows of them, ``[width, n]``.
        headroom: how many times training's largest activation still has a place on the grid.
        output_bits: an output of ``k`` stands for ``k · 2^-output_bits``.
        divisor: of the outputs: the temperature.
    """

    def __init__(
        self,
        fitted: Member,
        inputs: Columns,
        sample: Tensor,
        *,
        headroom: float,
        output_bits: int,
        divisor: float = 1.0,
    ) -> None:
        super().__init__()
        weights = [*(_folded_block(block) for block in fitted.blocks), folded(fitted.head, None)]
        weights[-1] = (weights[-1][0] / divisor, weights[-1][1] / divisor)
        blocks: list[nn.Module] = []
        for i, block in enumerate(fitted.blocks):
            activation = cast("nn.Module", cast("Block", block).activation)
            made = ExactBlock(
                weights[i],
                activation,
                inputs,
                sample,
                following=weights[i + 1][0],
                headroom=headroom,
            )
            sample, inputs = made(sample), made.columns
            blocks.append(made)
        self.blocks = nn.Sequential(*blocks)
        self.head = ExactHead(*weights[-1], inputs, output_bits)
        self.reach = np.abs(self.head.weight.numpy()) @ inputs.most + np.abs(
            self.head.bias.numpy()[:, 0]
        )

    def forward(self, columns: Tensor) -> Tensor:
        """Outputs of ``[width, n]``."""
        return cast("Tensor", self.head(self.blocks(columns)))


class ExactBlock(nn.Module):
    """Linear with its BatchNorm folded in, activation, grid.

    Shape: ``[width, n]`` whole numbers → ``[n_units, n]`` whole numbers.

    Args:
        weights: weight and bias, the BatchNorm folded in.
        activation: of the fitted block.
        inputs: the columns that enter.
        sample: training's rows of them.
        following: weight of the next layer, to which the grid is fitted.
        headroom: see `ExactMember`.
    """

    def __init__(
        self,
        weights: tuple[FloatArray, FloatArray],
        activation: nn.Module,
        inputs: Columns,
        sample: Tensor,
        *,
        following: FloatArray,
        headroom: float,
    ) -> None:
        super().__init__()
        plain = _unscaled(weights, inputs)
        largest, size, lowest = _activation_ranges(sample, plain, activation)
        reach = max(headroom * largest, _LEAST_REACH)
        bits = balanced_bits(following, np.full(following.shape[1], reach), size)
        self.activation: nn.Module
        linear_bits = bits
        if isinstance(activation, nn.ReLU):
            self.activation = nn.Identity()
        elif isinstance(activation, nn.LeakyReLU):
            self.activation = ExactLeakyReLU(activation.negative_slope)
        else:
            linear_bits = ARGUMENT_BITS
            argument = max(headroom * lowest, float(_ENDS))
            self.activation = TabulatedActivation(activation, argument, bits)
        self.linear = ExactLinear(*weights, inputs, linear_bits)
        most = float(Columns.of(bits, np.array([reach])).most[0])
        rectifies = isinstance(activation, nn.ReLU)
        self.clip = Clip(0.0 if rectifies else -most, most, rectifies=rectifies, rows_axis=1)
        width = len(weights[0])
        self.columns = Columns(np.full(width, bits, np.int64), np.full(width, most))

    def forward(self, columns: Tensor) -> Tensor:
        """Compute ``[width, n]``."""
        return cast("Tensor", self.clip(self.activation(self.linear(columns))))


class ExactLeakyReLU(nn.Module):
    """The leaky ReLU: one product, one maximum; it rounds on the grid that follows."""

    slope: Tensor

    def __init__(self, slope: float) -> None:
        super().__init__()
        # A number that the exporter finds in the code may come out in float32.
        self.register_buffer("slope", torch.tensor(slope, dtype=torch.float64))

    def forward(self, sums: Tensor) -> Tensor:
        """The larger of a sum and its share."""
        # An optimiser may move a factor into the weights of a sum: the grid keeps it out.
        whole = sums.round()
        return torch.maximum(whole, whole * self.slope)


class TabulatedActivation(nn.Module):
    """A smooth activation by its `TabulatedFunction`."""

    def __init__(self, activation: nn.Module, reach: float, bits: int) -> None:
        super().__init__()
        most = float(Columns.of(ARGUMENT_BITS, np.array([reach])).most[0])
        self.clip = Clip(-most, most, rows_axis=1)

        def function(values: FloatArray) -> FloatArray:
            answers: FloatArray = activation(torch.from_numpy(values)).numpy()
            return answers

        self.curve = TabulatedFunction(function, -_ENDS, _ENDS, _CELL_BITS, bits)

    def forward(self, sums: Tensor) -> Tensor:
        """The activation of sums on the argument's grid."""
        return cast("Tensor", self.curve(self.clip(sums)))


def _folded_block(block: nn.Module) -> tuple[FloatArray, FloatArray]:
    layers = dict(block.named_children())
    return folded(
        cast("nn.Linear", layers["linear"]), cast("nn.BatchNorm1d | None", layers.get("norm"))
    )


def _unscaled(weights: tuple[FloatArray, FloatArray], inputs: Columns) -> tuple[Tensor, Tensor]:
    """The weights for whole numbers, not rounded: only statistics are taken of them."""
    scaled = np.ldexp(weights[0], -inputs.bits)
    return torch.from_numpy(scaled), torch.from_numpy(np.array(weights[1][:, None]))


def _activation_ranges(
    sample: Tensor, weights: tuple[Tensor, Tensor], activation: nn.Module
) -> tuple[float, float, float]:
    """Of training's activations: the largest, the root mean squared norm, the largest argument."""
    largest = squares = argument = 0.0
    for columns in torch.split(sample, 4096, dim=1):
        sums = torch.addmm(weights[1], weights[0], columns)
        answers = activation(sums)
        largest = max(largest, float(answers.abs().max()))
        argument = max(argument, float(sums.abs().max()))
        squares += float(answers.square().sum())
    return largest, float(np.sqrt(squares / sample.shape[1])), argument
