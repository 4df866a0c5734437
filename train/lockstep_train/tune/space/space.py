"""The search space: which settings are varied, and between what."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from optuna.trial import Trial

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.tune.space.dimension import Choice, Dimension, Ladder, Range, Stored
from lockstep_train.tune.space.grid import read_grid

WIDTH, DEPTH = "network.width", "network.depth"
"""Units of the first block and number of blocks: together they are ``network.hidden``."""

NARROWING = 0.5
"""A block's units over those of the block before it, where the configuration has one block only."""

LARGEST_GRID = 10_000
WIDE_NETWORK_ROWS = 20_000
FEWEST_BATCHES = 8


@dataclass(frozen=True)
class Space:
    """What a study varies around a configuration.

    Attributes:
        base: the configuration; what is not varied is taken from it.
        dimensions: what is varied.
        is_grid: every combination is tried, once, instead of the promising ones.
    """

    base: Configuration
    dimensions: tuple[Dimension, ...]
    is_grid: bool = False

    @classmethod
    def of(cls, base: Configuration, dataset: Dataset) -> Self:
        """The settings that matter most for a regularised network, in bounds for these rows.

        Dropout, input dropout, BatchNorm momentum, weight decay, learning rate, width, depth, batch
        size and, where a column is numeric, its scaling and embedding.
        """
        dimensions = _dimensions(base, dataset)
        return cls(base, tuple(d for d in dimensions if isinstance(d, Range) or len(d.values) > 1))

    @classmethod
    def from_grid(cls, base: Configuration, path: Path) -> Self:
        """Every combination of the values that a TOML file lists.

        Raises:
            NotFound: there is no such file.
            Unreadable: it is not TOML.
            InvalidSetting: an unknown setting, values that are no list, a combination that makes no
                sense, or too many of them.
        """
        values = read_grid(path)
        space = cls(base, tuple(Choice(name, listed) for name, listed in values.items()), True)
        count = math.prod(len(listed) for listed in values.values())
        if count > LARGEST_GRID:
            raise InvalidSetting(
                f"{path} has {count} combinations, more than {LARGEST_GRID}: leave values out, or "
                "search without a grid."
            )
        for combination in space.combinations():
            try:
                space.configuration(combination)
            except InvalidSetting as error:
                raise InvalidSetting(f"{path}: {error}") from error
        return space

    def combinations(self) -> Iterator[dict[str, Stored]]:
        """Every combination of a grid, in the order of the file."""
        choices = [
            [(dimension.name, dimension.stored(value)) for value in dimension.values]
            for dimension in self.dimensions
            if isinstance(dimension, Choice)
        ]
        return (dict(combination) for combination in itertools.product(*choices))

    def given(self) -> dict[str, Stored]:
        """The point of the base configuration, or the nearest one in the bounds."""
        point: dict[str, Stored] = {}
        for dimension in self.dimensions:
            value = _configured(self.base, dimension.name)
            if isinstance(dimension, Choice):
                listed = [dimension.stored(known) for known in dimension.values]
                word = dimension.stored(value)
                point[dimension.name] = word if word in listed else listed[0]
            else:
                point[dimension.name] = dimension.stored(value)
        return point

    def given_values(self) -> dict[str, Any]:
        """The base configuration's own values of the dimensions, in the bounds or not."""
        return {
            dimension.name: _configured(self.base, dimension.name) for dimension in self.dimensions
        }

    def draw(self, trial: Trial) -> dict[str, Stored]:
        """What the study's sampler suggests to a trial."""
        return {dimension.name: dimension.suggest(trial) for dimension in self.dimensions}

    def values(self, point: Mapping[str, Stored]) -> dict[str, Any]:
        """What is stored of a point, as values of its dimensions."""
        return {
            dimension.name: dimension.value(point[dimension.name])
            for dimension in self.dimensions
            if dimension.name in point
        }

    def configuration(self, point: Mapping[str, Stored]) -> Configuration:
        """The base configuration with the settings of a point.

        Raises:
            InvalidSetting: settings that contradict each other.
        """
        settings: dict[str, dict[str, Any]] = self.base.model_dump(exclude_unset=True)
        values = self.values(point)
        if WIDTH in values:
            hidden = _funnel(values.pop(WIDTH), values.pop(DEPTH), _narrowing(self.base))
            values["network.hidden"] = hidden
            if len(hidden) == 1 and "network.dropout" in values:
                # The only block stands right before the head: its rate is the output dropout.
                values["network.dropout"] = 0.0
        for name, value in values.items():
            section, setting = name.split(".")
            settings.setdefault(section, {})[setting] = value
        return Configuration.model_validate(settings)

    def describe(self) -> list[dict[str, Any]]:
        """The dimensions as JSON: two spaces are equal where their descriptions are."""
        return [
            {
                "kind": type(dimension).__name__,
                **{
                    field.name: _as_json(getattr(dimension, field.name))
                    for field in fields(dimension)
                },
            }
            for dimension in self.dimensions
        ]


def _dimensions(base: Configuration, dataset: Dataset) -> Iterator[Dimension]:
    rows = len(dataset.train)
    training = base.training
    yield Range("network.dropout", 0.0, 0.6)
    yield Range("network.input_dropout", 0.0, 0.4)
    if base.network.batch_norm:
        yield Range("network.batch_norm_momentum", 0.01, 0.5, log=True)
    decay = (1e-6, 1e-2) if training.decay == "l2" else (1e-2, 10.0)
    yield Range("training.weight_decay", *decay, log=True)
    yield Range("training.learning_rate", 3e-4, 3e-2, log=True)
    widths = (32, 64, 128, 256, 512) if rows < WIDE_NETWORK_ROWS else (64, 128, 256, 512, 1024)
    yield Ladder.through(WIDTH, widths, base.network.hidden[0])
    yield Ladder.through(DEPTH, (1, 2, 3, 4), len(base.network.hidden))
    sizes = [size for size in (16, 32, 64, 128, 256, 512, 1024) if size * FEWEST_BATCHES <= rows]
    yield Ladder.through("training.batch_size", sizes, training.batch_size)
    if any(column.kind == "numeric" for column in dataset.columns):
        yield Choice("preprocessing.numeric", ("standard", "robust", "quantile"))
        yield Choice("preprocessing.embedding", ("none", "piecewise_linear", "periodic"))


def _configured(base: Configuration, name: str) -> Any:
    """The base's value of a dimension; of rates for each block, the first."""
    if name == WIDTH:
        return base.network.hidden[0]
    if name == DEPTH:
        return len(base.network.hidden)
    section, setting = name.split(".")
    value = getattr(getattr(base, section), setting)
    return value[0] if setting == "dropout" and isinstance(value, tuple) else value


def _narrowing(base: Configuration) -> float:
    hidden = base.network.hidden
    return hidden[1] / hidden[0] if len(hidden) > 1 else NARROWING


def _funnel(width: int, depth: int, narrowing: float) -> tuple[int, ...]:
    """The units of each block: each takes the same share of those before it, and at least 8."""
    least = min(width, 8)
    return tuple(max(least, round(width * narrowing**block)) for block in range(depth))


def _as_json(value: Any) -> Any:
    """Tuples become lists, as JSON reads them back."""
    return [_as_json(item) for item in value] if isinstance(value, tuple | list) else value
