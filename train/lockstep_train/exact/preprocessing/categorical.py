"""Categories in exact arithmetic: codes made safe, one-hot columns, embeddings."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lockstep_train.exact.grid import Columns
from lockstep_train.exact.layer import ExactModule, buffer
from lockstep_train.network.preprocessing.categorical import (
    Categorical,
    CategoryEmbedding,
    Codes,
    OneHot,
)


class ExactCodes(nn.Module):
    """`Codes` with bounds that the proof can read in the file. Shape: ``[n, k]`` → ``[n, k]``."""

    unknown: Tensor
    missing: Tensor

    def __init__(self, fitted: Codes) -> None:
        super().__init__()
        self.register_buffer("unknown", fitted.unknown.to(torch.float64))
        self.register_buffer("missing", fitted.missing.to(torch.float64))

    def forward(self, codes: Tensor) -> Tensor:
        """Make ``[n, k]`` safe."""
        absent = torch.isnan(codes)
        there = torch.where(absent, self.unknown, codes)
        inside = torch.minimum(there.clamp(min=-1.0), self.unknown)
        whole = torch.where(inside.abs().floor() == inside, inside, self.unknown)
        return torch.where(absent, self.missing, whole.clamp(min=0.0))


class ExactOneHot(nn.Module):
    """`OneHot`: 1 or 0."""

    column: Tensor
    code: Tensor

    def __init__(self, fitted: OneHot) -> None:
        super().__init__()
        self.register_buffer("column", fitted.column.clone())
        self.register_buffer("code", fitted.code.to(torch.float64))
        self.columns = Columns.of(0, np.ones(fitted.width))

    def forward(self, codes: Tensor) -> Tensor:
        """Spread ``[n, k]``."""
        return (codes.index_select(1, self.column) == self.code).to(torch.float64)


class ExactEmbedding(nn.Module):
    """`CategoryEmbedding` with a table of whole numbers."""

    table: Tensor
    offset: Tensor

    def __init__(self, fitted: CategoryEmbedding, bits: int) -> None:
        super().__init__()
        self.width = fitted.width
        table = np.rint(np.ldexp(fitted.table.detach().double().numpy(), bits))
        self.register_buffer("table", buffer(table))
        self.register_buffer("offset", fitted.offset.clone())
        starts = [*fitted.offset.tolist(), len(table)]
        own = [np.abs(table[a:b]).max(axis=0) for a, b in pairwise(starts)]
        most = np.maximum(np.concatenate(own), 1.0)
        self.columns = Columns(np.full(self.width, bits, np.int64), most)

    def forward(self, codes: Tensor) -> Tensor:
        """Look up ``[n, k]``."""
        places = codes.to(torch.int64) + self.offset
        return functional.embedding(places, self.table).reshape(-1, self.width)


class ExactCategorical(nn.Module):
    """`Categorical` in whole numbers: one-hot columns as 0 and 1, embeddings on the grid."""

    def __init__(self, fitted: Categorical, bits: int) -> None:
        super().__init__()
        self.selection = fitted.selection
        self.codes = ExactCodes(fitted.codes)
        self.counts = fitted.counts
        parts: list[nn.Module] = [
            ExactOneHot(part) if isinstance(part, OneHot) else ExactEmbedding(part, bits)
            for part in (cast("OneHot | CategoryEmbedding", each) for each in fitted.parts)
        ]
        self.parts = nn.ModuleList(parts)
        self.columns = Columns.joined([cast("ExactModule", part).columns for part in parts])

    def forward(self, features: Tensor) -> Tensor:
        """Preprocess ``[n, d]``."""
        codes = self.codes(self.selection(features).to(torch.float64))
        shares = codes.split(self.counts, dim=1) if len(self.parts) > 1 else [codes]
        made = [part(share) for part, share in zip(self.parts, shares, strict=True)]
        return made[0] if len(made) == 1 else torch.cat(made, dim=1)
