"""The network: preprocessing, members, answer."""

from __future__ import annotations

from typing import Self, cast

import torch
from torch import Tensor, nn

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.network import NetworkConfiguration
from lockstep_train.data.dataset import Dataset, LearningTask
from lockstep_train.network.answer import Probabilities
from lockstep_train.network.member import Member
from lockstep_train.network.order import check_order
from lockstep_train.network.preprocessing.preprocessing import Preprocessing
from lockstep_train.network.preprocessing.standardisation import Rescaling, Standardisation


class Network(nn.Module):
    """Preprocessing → members, each with blocks and a head of its own.

    The members share the preprocessing, embeddings included, and nothing else.

    Shape: ``[n, n_features]`` float32 in the user's own units → ``[members, n, n_outputs]``:
    logits, or for regression the standardised prediction (``n_outputs`` 1).

    Attributes:
        task: decides what the answer is.
        preprocessing: features → dense matrix.
        members: chains that were initialised independently.
        answer: `Probabilities`, or the `Rescaling` to the target's own units.

    Args:
        configuration: the blocks' settings.
        preprocessing: its `width` is that of the dense matrix.
        n_outputs: number of classes, or 1.
        task: decides what `Answering` makes of the members' outputs.
        target: mean and scale of the training split's target; regression only.
    """

    members: nn.ModuleList

    def __init__(
        self,
        configuration: NetworkConfiguration,
        preprocessing: Preprocessing,
        n_outputs: int,
        task: LearningTask,
        *,
        target: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.task: LearningTask = task
        self.preprocessing = preprocessing
        self.members = nn.ModuleList(
            Member(configuration, preprocessing.width, n_outputs)
            for _ in range(configuration.members)
        )
        self.answer: nn.Module = (
            Probabilities()
            if task == "classification"
            else Rescaling(*(target or (torch.zeros(1), torch.ones(1))))
        )
        check_order(self)

    @classmethod
    def of(cls, configuration: Configuration, dataset: Dataset) -> Self:
        """An untrained network whose buffers come from the dataset's training split alone."""
        regression = dataset.classes is None
        target = Standardisation.of(dataset.train.targets[:, None]) if regression else None
        return cls(
            configuration.network,
            Preprocessing.of(configuration, dataset),
            n_outputs=1 if dataset.classes is None else len(dataset.classes),
            task=dataset.task,
            target=None if target is None else (target.mean, target.scale),
        )

    def outputs(self, features: Tensor) -> list[Tensor]:
        """Each member's logits ``[n, n_classes]``, or standardised predictions ``[n, 1]``."""
        return self.outputs_of(self.preprocessing(features))

    def outputs_of(self, dense: Tensor) -> list[Tensor]:
        """The same, of a dense matrix ``[n, width]`` that the preprocessing made."""
        return [member(dense) for member in self.members]

    def forward(self, features: Tensor, *, prepared: bool = False) -> Tensor:
        """Logits ``[members, n, n_classes]``, or standardised predictions ``[members, n, 1]``.

        Args:
            features: ``[n, n_features]``.
            prepared: whether they are the dense matrix ``[n, width]`` already.
        """
        outputs = self.outputs_of(features) if prepared else self.outputs(features)
        return torch.stack(outputs) if len(outputs) > 1 else outputs[0].unsqueeze(0)


class Answering(nn.Module):
    """The network as it is served: what it answers, instead of what its loss is taken of.

    Each member answers, and the answers are averaged: added in the members' order one by one, then
    multiplied once, since a library's mean over an axis may add in another order for another batch.

    Shape: ``[n, n_features]`` float32 in the user's own units → ``[n, n_classes]`` probabilities,
    or ``[n, 1]`` prediction in the target's own units.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities, or the prediction."""
        outputs = self.network.outputs(features)
        if self.network.task == "classification":
            return _average([self.network.answer(logits) for logits in outputs])
        return cast("Tensor", self.network.answer(_average(outputs)))


def _average(answers: list[Tensor]) -> Tensor:
    total = answers[0]
    for answer in answers[1:]:
        total = total + answer
    return total if len(answers) == 1 else total * (1 / len(answers))
