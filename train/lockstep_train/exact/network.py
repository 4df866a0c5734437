"""The exact network: one definition, from which the eager form and both files are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lockstep.artifact.columns import FeatureArray
from lockstep_train.exact.answer import LOGIT_BITS, ExactAverage, ExactPrediction, ExactSoftmax
from lockstep_train.exact.grid import FloatArray, balanced_bits
from lockstep_train.exact.layer import Clip, ClipColumns, folded
from lockstep_train.exact.member import ExactMember
from lockstep_train.exact.preprocessing.preprocessing import ExactPreprocessing
from lockstep_train.network.answer import Probabilities
from lockstep_train.network.ensemble import Ensemble
from lockstep_train.network.member import Member
from lockstep_train.network.network import Network
from lockstep_train.network.preprocessing.standardisation import Rescaling

HEADROOM = 16.0
"""How many times training's largest activation still has a place on the grid."""

LEAST_COLUMN_REACH = 32.0
"""What a column of the dense matrix may reach at least, in deviations: one that hardly varied in
training may do so later."""

SAMPLE_ROWS = 65_536
"""Rows of training at most from which the grids are taken; larger numbers elsewhere are counted."""

_SUM_BITS = 30
_ROWS = 4096


class ExactNetwork(nn.Module):
    """A fitted network in arithmetic in which no partial sum rounds.

    All numbers are float64. Weights and activations lie on power-of-two grids that are coarse
    enough for every sum of every unit to be exact; between them stand single IEEE operations that
    round correctly on every processor. The fitted network is left as it was.

    Shape: ``[n, n_features]`` float32 in the user's own units → float32 ``[n, n_classes]``
    probabilities, or ``[n, 1]`` prediction in the target's own unit.

    Args:
        network: fitted; its state is not changed.
        features: training's rows, from which the grids' ranges are taken, ``[n, n_features]``; of
            more than ``SAMPLE_ROWS`` as many, evenly spread.
        headroom: how many times training's largest activation still has a place on the grid.
    """

    def __init__(
        self, network: Network, features: FeatureArray, headroom: float = HEADROOM
    ) -> None:
        super().__init__()
        self.task = network.task
        groups = [_FittedBranch.of(each) for each in _networks(network)]
        classifies = network.task == "classification"
        divisor = _temperature(network) if isinstance(network, Ensemble) and classifies else 1.0
        bits = LOGIT_BITS if classifies else _SUM_BITS
        places = np.linspace(0, len(features) - 1, min(len(features), SAMPLE_ROWS)).astype(np.int64)
        sample = features[places]
        with torch.no_grad():
            self.branches = nn.ModuleList(
                ExactBranch(group, sample, headroom, bits, divisor) for group in groups
            )
        self.answer: nn.Module = (
            ExactSoftmax() if classifies else _prediction(groups, self.branches)
        )
        self.average = ExactAverage()
        self.eval()

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities, or the prediction."""
        outputs = [output for branch in self.branches for output in branch(features)]
        if self.task == "classification":
            answers = [self.answer(logits.round()) for logits in outputs]
            return cast("Tensor", self.average(answers))
        return cast("Tensor", self.answer(outputs))


@dataclass(frozen=True)
class _FittedBranch:
    """One fitted network: its preprocessing, its members, and how their outputs are scaled."""

    network: Network
    members: tuple[Member, ...]

    @classmethod
    def of(cls, network: Network) -> _FittedBranch:
        return cls(network, tuple(cast("Member", member) for member in network.members))


class ExactBranch(nn.Module):
    """One preprocessing and the members that share it: features → outputs of each member."""

    def __init__(
        self,
        group: _FittedBranch,
        features: FeatureArray,
        headroom: float,
        bits: int,
        divisor: float,
    ) -> None:
        super().__init__()
        fitted = group.network.preprocessing
        largest, size = _column_ranges(fitted, features)
        reach = np.maximum(headroom * largest, LEAST_COLUMN_REACH)
        first = np.concatenate([_first_weight(member) for member in group.members])
        grid = balanced_bits(first, reach, size)
        self.preprocessing = ExactPreprocessing(fitted, grid, reach)
        rows = torch.split(torch.from_numpy(np.ascontiguousarray(features)), _ROWS)
        sample = torch.cat([self.preprocessing(each) for each in rows]).t()
        if group.network.task == "classification":
            divisor = divisor * _temperature(group.network)
        self.members = nn.ModuleList(
            ExactMember(
                member,
                self.preprocessing.columns,
                sample,
                headroom=headroom,
                output_bits=bits,
                divisor=divisor,
            )
            for member in group.members
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Each member's sums of ``[n, n_features]``."""
        columns = self.preprocessing(features).t()
        return [member(columns) for member in self.members]


@dataclass(frozen=True)
class Saturation:
    """How many numbers did not fit on their grid, and were cut off.

    Attributes:
        cut: how many.
        of: of how many.
        rows: in how many rows.
    """

    cut: int
    of: int
    rows: int

    @property
    def rate(self) -> float:
        """The share that was cut off."""
        return self.cut / max(1, self.of)


def saturation(
    network: ExactNetwork, features: FeatureArray
) -> tuple[Saturation, NDArray[np.bool_]]:
    """Count what is cut off at every grid of a network.

    Args:
        network: is run, and left as it was.
        features: ``[n, n_features]``.

    Returns:
        The counts, and which rows are met, ``[n]``.
    """
    counts = np.zeros(2, np.int64)
    met: list[Tensor] = []

    def count(layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        clip = cast("Clip | ClipColumns", layer)
        outside = clip.saturated(given[0])
        counts[:] += (int(outside.sum()), outside.numel())
        met[-1] |= outside.any(dim=1 - clip.rows_axis)

    clips = [layer for layer in network.modules() if isinstance(layer, Clip | ClipColumns)]
    hooks = [layer.register_forward_hook(count) for layer in clips]
    try:
        for start in range(0, len(features), _ROWS):
            rows = features[start : start + _ROWS]
            met.append(torch.zeros(len(rows), dtype=torch.bool))
            answers(network, rows)
    finally:
        for hook in hooks:
            hook.remove()
    rows_met = torch.cat(met).numpy()
    return Saturation(int(counts[0]), int(counts[1]), int(rows_met.sum())), rows_met


def answers(network: nn.Module, features: FeatureArray) -> FeatureArray:
    """What a module answers, a few thousand rows at a time.

    Args:
        network: in eval mode.
        features: ``[n, n_features]``.
    """
    rows = torch.split(torch.tensor(features), _ROWS)
    with torch.inference_mode():
        answered: FeatureArray = torch.cat([network(each) for each in rows]).numpy()
    return answered


def _networks(network: Network) -> Sequence[Network]:
    if isinstance(network, Ensemble):
        return [cast("Network", each) for each in network.networks]
    return [network]


def _temperature(network: Network) -> float:
    return float(cast("Probabilities", network.answer).temperature)


def _first_weight(member: Member) -> FloatArray:
    layers = dict(member.blocks[0].named_children())
    norm = cast("nn.BatchNorm1d | None", layers.get("norm"))
    return folded(cast("nn.Linear", layers["linear"]), norm)[0]


def _column_ranges(fitted: nn.Module, features: FeatureArray) -> tuple[FloatArray, float]:
    """Of training's dense rows: each column's largest size, and the root mean squared norm."""
    squares, largest = 0.0, None
    for rows in torch.split(torch.from_numpy(np.ascontiguousarray(features)), _ROWS):
        dense = fitted(rows).to(torch.float64)
        squares += float(dense.square().sum())
        own = dense.abs().amax(dim=0).numpy()
        largest = own if largest is None else np.maximum(largest, own)
    if largest is None:
        raise ValueError("The grids' ranges need at least one row of training, got none.")
    return largest, float(np.sqrt(squares / len(features)))


def _prediction(groups: Sequence[_FittedBranch], branches: nn.ModuleList) -> ExactPrediction:
    scales: list[float] = []
    reach: list[float] = []
    mean = 0.0
    total = sum(len(group.members) for group in groups)
    for group, branch in zip(groups, branches, strict=True):
        rescaling = cast("Rescaling", group.network.answer)
        for member in cast("ExactBranch", branch).members:
            scales.append(float(rescaling.scale) * 2.0**-_SUM_BITS / total)
            mean += float(rescaling.mean) / total
            reach.append(float(cast("ExactMember", member).reach[0]))
    return ExactPrediction(np.array(scales), mean, np.array(reach))
