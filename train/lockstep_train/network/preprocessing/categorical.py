"""Categories, one-hot or embedded, from codes that are made safe in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lockstep.artifact.columns import Column
from lockstep_train.configuration.preprocessing import PreprocessingConfiguration
from lockstep_train.network.dropout import Dropout
from lockstep_train.network.preprocessing.numeric import places_of, selection


class Codes(nn.Module):
    """Whatever stands in a categorical column → a code that its vocabulary knows.

    A whole number of the vocabulary stays. Missing becomes the code after the unknown one where
    training missed values here; everything else (−1, 99, 1.7) is unknown: the code after the
    vocabulary's last. In training a known category is taken for unknown at random, so that the
    unknown code learns something too.

    Shape: ``[n, k]`` → ``[n, k]``, whole numbers as float32.

    Args:
        columns: the ``k`` categorical columns.
        mask_rate: chance of that, in columns where unknown categories are allowed.
    """

    unknown: Tensor
    missing: Tensor
    rate: Tensor

    def __init__(self, columns: Sequence[Column], mask_rate: float) -> None:
        super().__init__()
        self.unknown_is_learned = mask_rate > 0 and any(c.unknown_allowed for c in columns)
        self.knows_missing = any(column.missing_allowed for column in columns)
        unknown = torch.tensor([float(len(column.vocabulary or ())) for column in columns])
        allowed = torch.tensor([float(column.missing_allowed) for column in columns])
        rates = [mask_rate if column.unknown_allowed else 0.0 for column in columns]
        self.register_buffer("unknown", unknown)
        self.register_buffer("missing", unknown + allowed)
        self.register_buffer("rate", torch.tensor(rates))

    def forward(self, codes: Tensor) -> Tensor:
        """Make ``[n, k]`` safe."""
        # Neither a fraction nor a negative number nor NaN equals the whole part of its size.
        whole = codes.abs().floor() == codes
        safe = torch.minimum(torch.where(whole, codes, self.unknown), self.unknown)
        if self.training and self.unknown_is_learned:
            masked = torch.rand(safe.shape, device=safe.device) < self.rate
            safe = torch.where(masked, self.unknown, safe)
        if self.knows_missing:
            safe = torch.where(torch.isnan(codes), self.missing, safe)
        return safe


class OneHot(nn.Module):
    """A place for each code that training can show: 1 at a row's own, 0 elsewhere.

    Shape: ``[n, k]`` safe codes → ``[n, width]``, the places of the columns one after another.

    Args:
        columns: the ``k`` columns.
    """

    column: Tensor
    code: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        places = [(j, code) for j, column in enumerate(columns) for code in shown_codes(column)]
        self.width = len(places)
        self.register_buffer("column", torch.tensor([j for j, _ in places], dtype=torch.int64))
        self.register_buffer("code", torch.tensor([float(code) for _, code in places]))

    def forward(self, codes: Tensor) -> Tensor:
        """Spread ``[n, k]``."""
        return (codes.index_select(1, self.column) == self.code).to(torch.float32)


def shown_codes(column: Column) -> list[int]:
    """The codes that training can show: of each category, of an unknown one, of a missing one."""
    size = len(column.vocabulary or ())
    codes = list(range(size))
    if column.unknown_allowed:
        codes.append(size)
    if column.missing_allowed:
        codes.append(size + 1)
    return codes


class CategoryEmbedding(nn.Module):
    """A learned vector for each code, all columns in one table.

    Unknown and missing begin as 0, the middle of what the categories begin as; so a code that
    training never shows says nothing.

    Shape: ``[n, k]`` safe codes → ``[n, width]``, the vectors of the columns one after another.

    Args:
        columns: the ``k`` columns.
        column_width: length of a vector.
        dropout: chance that one of its values is zeroed in training.
    """

    offset: Tensor

    def __init__(self, columns: Sequence[Column], column_width: int, dropout: float) -> None:
        super().__init__()
        self.width = len(columns) * column_width
        sizes = torch.tensor([len(column.vocabulary or ()) for column in columns])
        starts = torch.cumsum(sizes + 2, 0) - (sizes + 2)
        self.table = nn.Parameter(torch.randn(int((sizes + 2).sum()), column_width))
        with torch.no_grad():
            self.table[starts + sizes] = 0
            self.table[starts + sizes + 1] = 0
        self.register_buffer("offset", starts)
        self.dropout: nn.Module = Dropout(dropout) if dropout else nn.Identity()

    def forward(self, codes: Tensor) -> Tensor:
        """Look up ``[n, k]``."""
        vectors = functional.embedding(codes.to(torch.int64) + self.offset, self.table)
        spread: Tensor = self.dropout(vectors)
        return spread.reshape(-1, self.width)


class Categorical(nn.Module):
    """The categorical columns: codes made safe, then one-hot or embedded by cardinality.

    Shape: ``[n, d]`` → ``[n, width]``: the one-hot columns, then the embedded ones.

    Args:
        configuration: up to which cardinality a column is one-hot, and what it becomes beyond.
        columns: all ``d`` columns.
        embedding_dropout: chance that a value of an embedding is zeroed in training.
    """

    def __init__(
        self,
        configuration: PreprocessingConfiguration,
        columns: Sequence[Column],
        embedding_dropout: float,
    ) -> None:
        super().__init__()
        places = places_of("categorical", columns)
        few: list[int] = []
        many: list[int] = []
        for j in places:
            size = len(columns[j].vocabulary or ())
            (few if size <= configuration.one_hot_up_to else many).append(j)
        self.selection = selection([*few, *many], len(columns))
        self.codes = Codes([columns[j] for j in (*few, *many)], configuration.mask_rate)
        parts: list[OneHot | CategoryEmbedding] = []
        if few:
            parts.append(OneHot([columns[j] for j in few]))
        if many:
            width = configuration.embedding_width
            embedded = [columns[j] for j in many]
            parts.append(CategoryEmbedding(embedded, width, embedding_dropout))
        self.parts = nn.ModuleList(parts)
        self.counts = [len(part) for part in (few, many) if part]
        self.width = sum(part.width for part in parts)

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``."""
        codes = self.codes(self.selection(features))
        if len(self.parts) == 1:
            return cast("Tensor", self.parts[0](codes))
        shares = codes.split(self.counts, dim=1)
        spread = [part(share) for part, share in zip(self.parts, shares, strict=True)]
        return torch.cat(spread, dim=1)
