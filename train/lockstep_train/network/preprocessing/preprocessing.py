"""Preprocessing: raw columns → the dense matrix that the first block takes."""

from __future__ import annotations

from typing import Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.network.dropout import Dropout
from lockstep_train.network.preprocessing.categorical import Categorical, Codes
from lockstep_train.network.preprocessing.numeric import Boolean, Missing, Numeric, places_of


class Preprocessing(nn.Module):
    """The columns in the user's own units → one dense matrix, by buffers and embeddings.

    Columns of one kind are worked on together, so the graph has as many nodes for a thousand
    columns as for two. Values far outside training stay finite, except those of `standard` numbers
    without an embedding, which nothing bounds.

    Shape: ``[n, d]`` float32, NaN where a value is missing → ``[n, width]``.

    Args:
        parts: by name, each ``[n, d]`` → ``[n, part.width]``; their results stand side by side.
    """

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.width = sum(int(cast("int", part.width)) for part in parts.values())

    @classmethod
    def of(cls, configuration: Configuration, dataset: Dataset) -> Self:
        """Learn from the dataset's training split and columns alone.

        Args:
            configuration: its `preprocessing`, and the Dropout of embeddings.
            dataset: its other splits are not looked at.
        """
        columns, rows = dataset.columns, dataset.train.features
        kinds = {column.kind for column in columns}
        parts: dict[str, nn.Module] = {}
        if "numeric" in kinds:
            parts["numeric"] = Numeric.of(configuration.preprocessing, columns, rows)
        if "boolean" in kinds:
            parts["boolean"] = Boolean(columns, rows)
        numbers = [*places_of("numeric", columns), *places_of("boolean", columns)]
        missed = [j for j in numbers if np.isnan(rows[:, j]).any()]
        if missed:
            parts["missing"] = Missing(missed, len(columns))
        if "categorical" in kinds:
            dropout = configuration.network.embedding_dropout
            parts["categorical"] = Categorical(configuration.preprocessing, columns, dropout)
        return cls(parts)

    @property
    def is_fixed(self) -> bool:
        """Whether a row becomes the same in every step: nothing is learned, nothing is drawn."""
        return not any(
            isinstance(part, Dropout)
            or (isinstance(part, Codes) and part.unknown_is_learned)
            or any(True for _ in part.parameters(recurse=False))
            for part in self.modules()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``."""
        made = [part(features) for part in self.parts.values()]
        return made[0] if len(made) == 1 else torch.cat(made, dim=1)
