"""Parts: which row goes into which split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.data.columns.target import Target
from lockstep_train.data.dataset import RowNumbers
from lockstep_train.data.split.shares import Shares
from lockstep_train.data.table import Table

NAMES = ("train", "validation", "test")
# A class with fewer rows is dealt out by itself: drawn with the others, it might not be trained on.
FEWEST_TO_SHARE = 10


@dataclass(frozen=True)
class Parts:
    """Numbers of the rows of each part; no row is in two."""

    train: RowNumbers
    validation: RowNumbers
    test: RowNumbers

    def named(self) -> tuple[tuple[str, RowNumbers], ...]:
        """The parts by name."""
        return tuple((name, getattr(self, name)) for name in NAMES)

    @classmethod
    def at_random(
        cls, rows: RowNumbers, classes: NDArray[np.int64] | None, shares: Shares, seed: int
    ) -> Self:
        """Draw the parts; each has every class in its share.

        Of a class of fewer than ``FEWEST_TO_SHARE`` rows the rounded share is held out, so that
        the rarest are trained on alone.

        Args:
            rows: numbers of the rows.
            classes: index of each one's class; None where nothing has to be shared out.
            shares: of the parts.
            seed: the same seed draws the same parts.
        """
        if classes is None:
            return cls(*_drawn(rows, None, shares, seed))
        counts = np.bincount(classes)
        few = counts < FEWEST_TO_SHARE
        smallest = min(share for share in (shares.validation, shares.test) if share)
        if int(counts[~few].sum() * smallest) < int((~few).sum()):
            few[:] = True  # a part would have fewer rows than there are classes
        dealt = few[classes]
        parts = [_dealt(rows[dealt], classes[dealt], shares, seed)]
        if not dealt.all():
            parts.append(_drawn(rows[~dealt], classes[~dealt], shares, seed))
        return cls(*(np.concatenate(pieces) for pieces in zip(*reversed(parts), strict=True)))

    @classmethod
    def by_group(cls, rows: RowNumbers, groups: NDArray[Any], shares: Shares, seed: int) -> Self:
        """Draw the parts so that all rows of a group lie in one.

        Large groups come first, because no part could easily take them in later; the others follow
        in a drawn order. Each goes to the part that has the least of its share.
        """
        found, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        wanted = np.array([shares.train, shares.validation, shares.test]) * len(rows)
        open_parts = np.flatnonzero(wanted)
        drawn = np.random.default_rng(seed).permutation(len(found))
        bulky = np.where(sizes > wanted[open_parts].min() / 4, sizes, 0)
        part_of = np.empty(len(found), np.int64)
        filled = np.zeros(3)
        for group in drawn[np.argsort(-bulky[drawn], kind="stable")]:
            part = open_parts[np.argmin(filled[open_parts] / wanted[open_parts])]
            part_of[group] = part
            filled[part] += sizes[group]
        parts = part_of[inverse]
        return cls(*(rows[parts == part] for part in range(3)))

    @classmethod
    def by_time(cls, rows: RowNumbers, times: NDArray[Any], shares: Shares) -> Self:
        """The first rows are trained on, the last tested; equal times stay in one part."""
        order = np.argsort(times, kind="stable")
        ordered = times[order]
        ends = [shares.train, shares.train + shares.validation]
        places = [min(round(end * len(rows)), len(rows)) for end in ends]
        cuts = [
            int(np.searchsorted(ordered, ordered[place])) if place < len(rows) else place
            for place in places
        ]
        return cls(*np.split(rows[order], cuts))


def _dealt(
    rows: RowNumbers, classes: NDArray[np.int64], shares: Shares, seed: int
) -> tuple[RowNumbers, RowNumbers, RowNumbers]:
    """Hold out the rounded shares of each class; the rest, at least one row, is trained on."""
    generator = np.random.default_rng(seed)
    parts: tuple[list[RowNumbers], ...] = ([rows[:0]], [rows[:0]], [rows[:0]])
    for label in np.unique(classes):
        drawn = generator.permutation(rows[classes == label])
        tested = round(shares.test * len(drawn))
        validated = min(round(shares.validation * len(drawn)), len(drawn) - tested - 1)
        cuts = np.cumsum([max(0, validated), tested])
        for part, piece in zip((1, 2, 0), np.split(drawn, cuts), strict=True):
            parts[part].append(piece)
    train, validation, test = (np.concatenate(pieces) for pieces in parts)
    return train, validation, test


def _drawn(
    rows: RowNumbers, classes: NDArray[Any] | None, shares: Shares, seed: int
) -> tuple[RowNumbers, RowNumbers, RowNumbers]:
    # Rounded: sums of shares such as 0.1 + 0.2 are not exact, and the difference may move a row.
    held_out = round(shares.validation + shares.test, 12)
    places = np.arange(len(rows))
    train, rest = train_test_split(places, test_size=held_out, random_state=seed, stratify=classes)
    if not shares.test:
        return rows[train], rows[rest], np.empty(0, np.int64)
    validation, test = train_test_split(
        rest,
        test_size=round(shares.test / held_out, 12),
        random_state=seed,
        stratify=None if classes is None else classes[rest],
    )
    return rows[train], rows[validation], rows[test]


def parts_by_word(table: Table, words: pl.Series, rows: RowNumbers) -> Parts:
    """The parts that a column of the words train, validation and test names.

    Raises:
        Unreadable: naming the first row with another word.
    """
    spelled = words.cast(pl.String).str.to_lowercase()
    allowed = NAMES if table.tested is None else NAMES[:2]
    strange = np.zeros(len(words), bool)
    strange[rows] = ~spelled.is_in(allowed).fill_null(value=False).to_numpy()[rows]
    if strange.any():
        row = int(np.argmax(strange))
        raise Unreadable(
            f"{table.where(row, words.name)}: expected {', '.join(allowed[:-1])} or {allowed[-1]}, "
            f"got {words[row]!r}; mend the word, or leave the row out."
        )
    found = spelled.to_numpy()[rows]
    return Parts(*(rows[found == name] for name in NAMES))


def check_parts(table: Table, target: Target, parts: Parts) -> None:
    """Refuse parts that cannot be learned from.

    Raises:
        InvalidSetting: an empty part, or a class of which no row is trained on.
    """
    for name, rows in parts.named():
        if not len(rows):
            raise InvalidSetting(
                f"No row of {table.name} falls to the {name} part; bring more rows or groups, or "
                "choose other shares (data.split)."
            )
    if target.classes is None:
        return
    trained = np.bincount(target.values[parts.train], minlength=len(target.classes))
    if not trained.all():
        label = target.classes[int(np.argmin(trained))]
        raise InvalidSetting(
            f"No row of the class {label!r} of {target.name} falls to the training part of "
            f"{table.name}; split in another way, or leave the class's rows out."
        )
