"""A fold: a data set's rows in three parts, and the settings that its size and kind decide."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.digest import data_digest
from lockstep_train.defaults import settle_defaults


@dataclass(frozen=True)
class Fold:
    """What every model of a comparison gets: the same rows in the same three parts.

    Attributes:
        source: the data set's name.
        seed: of the parts and of every draw.
        configuration: Lockstep's, with every open setting decided by the data.
        dataset: the parts.
        digest: sha256 of all three parts and of what their columns are.
    """

    source: str
    seed: int
    configuration: Configuration
    dataset: Dataset
    digest: str

    @classmethod
    def of(cls, source: str, configuration: Configuration, dataset: Dataset) -> Self:
        """The fold that a data set and a configuration that leaves its settings open make."""
        settled = settle_defaults(configuration, dataset)
        return cls(source, settled.training.seed, settled, dataset, _digest(dataset))


def _digest(dataset: Dataset) -> str:
    digest = hashlib.sha256(data_digest(dataset).encode())
    for array in (dataset.test.features, dataset.test.targets):
        digest.update(f"{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
