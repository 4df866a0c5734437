"""scikit-learn's models in the same folds, set up as its users do.

A peer gets the training and the validation rows together: those that stop by themselves set rows of
their own aside.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.results.folds import Fold
from benchmarks.results.runs import Arm, Measured
from benchmarks.results.served import figures_of
from lockstep_train.defaults import WIDE_COLUMNS

MANY_ROWS = 10_000
"""Rows from which scikit-learn's boosting stops early by itself; the MLP does here as well."""

RIDGE_STRENGTHS = np.logspace(-3, 3, 13)

BOOSTING = "HistGradientBoosting"
FOREST = "random forest"
MLP = "MLP"
STOPPED_MLP = "MLP, early stopping"
LOGISTIC = "logistic regression"
RIDGE = "ridge regression"

NEAREST = (MLP, STOPPED_MLP, LOGISTIC, RIDGE)
"""The peers that the small data sets' bound is made of."""


@dataclass(frozen=True)
class _Shape:
    """What a user looks at before setting a model up."""

    rows: int
    numbers: tuple[int, ...]
    categories: tuple[int, ...]
    regression: bool
    widths: tuple[int, ...]
    seed: int

    @classmethod
    def of(cls, fold: Fold) -> Self:
        dataset = fold.dataset
        numeric = [column.kind == "numeric" for column in dataset.columns]
        return cls(
            rows=len(dataset.train) + len(dataset.validation),
            numbers=tuple(place for place, is_number in enumerate(numeric) if is_number),
            categories=tuple(place for place, is_number in enumerate(numeric) if not is_number),
            regression=dataset.classes is None,
            widths=fold.configuration.network.hidden,
            seed=fold.seed,
        )

    @property
    def wide(self) -> bool:
        """Whether a row is an image: there every model is given less, so that it ends."""
        return len(self.numbers) >= WIDE_COLUMNS and self.rows >= MANY_ROWS

    @property
    def many(self) -> bool:
        return self.rows >= MANY_ROWS


def peer_arms(fold: Fold) -> list[Arm]:
    """An arm for each of scikit-learn's models."""
    return [
        Arm("peer", name, _settings(model), partial(_measure, model, fold))
        for name, model in peers_of(fold).items()
    ]


def peers_of(fold: Fold) -> dict[str, BaseEstimator]:
    """The models, unfitted, by name; they take the features as they are encoded, NaN included."""
    shape = _Shape.of(fold)
    models = {
        BOOSTING: _boosting(shape),
        FOREST: _forest(shape),
        (STOPPED_MLP if shape.many else MLP): _mlp(shape, early_stopping=shape.many),
    }
    if not shape.many:  # a tenth of so few rows is a poor judge: both ways are tried
        models[STOPPED_MLP] = _mlp(shape, early_stopping=True)
    if shape.regression:
        models[RIDGE] = make_pipeline(_dense(shape), RidgeCV(alphas=RIDGE_STRENGTHS))
    else:
        linear = LogisticRegression(max_iter=100 if shape.wide else 1000)
        models[LOGISTIC] = make_pipeline(_dense(shape), linear)
    return models


def _boosting(shape: _Shape) -> BaseEstimator:
    kind = HistGradientBoostingRegressor if shape.regression else HistGradientBoostingClassifier
    return kind(
        categorical_features=list(shape.categories) or None,
        max_iter=1000 if shape.many and not shape.wide else 100,
        early_stopping=shape.many and not shape.wide,
        random_state=shape.seed,
    )


def _forest(shape: _Shape) -> Pipeline:
    kind = RandomForestRegressor if shape.regression else RandomForestClassifier
    trees = 100 if shape.wide else 300
    return make_pipeline(_dense(shape), kind(trees, n_jobs=1, random_state=shape.seed))


def _mlp(shape: _Shape, *, early_stopping: bool) -> Pipeline:
    kind = MLPRegressor if shape.regression else MLPClassifier
    network = kind(
        hidden_layer_sizes=(256, 128) if shape.wide else shape.widths,
        max_iter=1000,
        early_stopping=early_stopping,
        random_state=shape.seed,
    )
    return make_pipeline(_dense(shape), network)


def _dense(shape: _Shape) -> ColumnTransformer:
    """Numbers imputed, with an indicator, and scaled; categories one-hot, a missing one too."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, list(shape.numbers)),
            (
                "categories",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                list(shape.categories),
            ),
        ]
    )


def _settings(model: BaseEstimator) -> dict[str, str]:
    """The model's class and every parameter of it and of its steps."""
    parameters = {name: repr(value) for name, value in model.get_params(deep=True).items()}
    return {"model": type(model).__name__, **parameters}


def _measure(model: BaseEstimator, fold: Fold) -> Measured:
    dataset = fold.dataset
    splits = (dataset.train, dataset.validation)
    features = np.concatenate([split.features for split in splits])
    targets = np.concatenate([split.targets for split in splits])
    started = time.process_time()
    said = fit_whole(model, features, targets)
    seconds = time.process_time() - started
    answer = model.predict if dataset.classes is None else model.predict_proba
    figures = figures_of(answer(dataset.test.features), dataset).as_dict()
    return Measured(figures, seconds, {"warnings": said})


def fit_whole(model: Any, features: NDArray[np.float32], targets: NDArray[Any]) -> list[str]:
    """Fit a model, and return what it complained of.

    Args:
        model: changed in place.
        features: ``[n, d]``.
        targets: ``[n]``.

    Raises:
        KeyboardInterrupt: as well where the model keeps it to itself and is fitted by half.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        warnings.filterwarnings("always", message="Training interrupted")
        model.fit(features, targets)
    said = [str(warning.message) for warning in caught]
    if any("Training interrupted" in sentence for sentence in said):
        raise KeyboardInterrupt
    return said
