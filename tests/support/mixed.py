"""Tables with columns of every kind, drawn at random, and small untrained networks for them."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from lockstep.artifact.columns import Column
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.network.network import Network

ROWS = 240


def mixed_dataset(*, missing=True, unknown=True, regression=False, categories=(3, 14, 2, 11)):
    """Four numeric columns, two boolean ones and some categorical ones, one kind among another.

    The numbers are a plain one, one of mostly zeros with a long tail, small whole ones, and one
    whose mean is large against its deviation; every second column misses values.
    """
    generator = np.random.default_rng(7)
    numbers = [
        generator.normal(3, 2, ROWS),
        np.where(generator.random(ROWS) < 0.8, 0, generator.lognormal(6, 2, ROWS)),
        generator.integers(0, 5, ROWS).astype(np.float64),
        generator.normal(50_000, 1, ROWS),
    ]
    drawn = [("numeric", None, values) for values in numbers]
    drawn += [("boolean", None, (generator.random(ROWS) < 0.4).astype(float)) for _ in range(2)]
    for size in categories:
        codes = generator.integers(0, size, ROWS).astype(float)
        drawn.append(("categorical", tuple(f"word {k}" for k in range(size)), codes))
    columns, features = [], []
    for place in generator.permutation(len(drawn)):
        kind, vocabulary, values = drawn[place]
        misses = missing and place % 2 == 1
        if misses:
            values[generator.random(ROWS) < 0.2] = np.nan
        columns.append(
            Column(
                name=f"column {place}",
                kind=kind,
                vocabulary=vocabulary,
                missing_allowed=misses,
                unknown_allowed=unknown and kind == "categorical",
            )
        )
        features.append(values)
    return dataset_of(np.stack(features, 1), tuple(columns), regression=regression)


def numeric_dataset(features):
    """A classification of numeric columns ``[n, d]``."""
    misses = np.isnan(features).any(axis=0)
    columns = tuple(
        Column(name=f"column {j}", missing_allowed=bool(missed)) for j, missed in enumerate(misses)
    )
    return dataset_of(features, columns)


def dataset_of(features, columns, *, regression=False):
    """A dataset of the same rows in all three parts."""
    generator = np.random.default_rng(8)
    labels = generator.integers(0, 3, len(features))
    targets = generator.normal(20, 5, len(features)).astype(np.float32) if regression else labels
    split = Split(features.astype(np.float32), targets)
    return Dataset(
        name="mixed",
        task="regression" if regression else "classification",
        columns=columns,
        classes=None if regression else ("a", "b", "c"),
        target_name="target",
        train=split,
        validation=split,
        test=split,
    )


def network_for(dataset, *, network=None, **preprocessing):
    """A network in eval mode whose BatchNorms have seen the rows once."""
    configuration = Configuration.model_validate(
        {"network": {"hidden": [12, 6], **(network or {})}, "preprocessing": preprocessing}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Network.of(configuration, dataset)
        with torch.no_grad():
            made.train()(torch.tensor(dataset.train.features))
    return made.eval()


def odd_rows(dataset, *more):
    """Rows in which each value in turn is what it never should be, and rows of nothing else.

    Args:
        dataset: whose rows are spoiled.
        more: values of which there are whole rows, beside those of every table.
    """
    width = dataset.train.features.shape[1]
    odd = [-1, 99, 1.7, np.nan, 1e6, -1e6, 1e20, -1e20, -0.0, 0.5]
    rows = [np.full(width, value) for value in (*odd, *more)]
    for place, value in itertools.product(range(width), odd[:6]):
        row = dataset.train.features[place].copy()
        row[place] = value
        rows.append(row)
    return np.array(rows, np.float32)
