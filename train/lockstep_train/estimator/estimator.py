"""The network as scikit-learn's estimators: for pipelines, grid searches, cross-validation."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import Artifact
from lockstep.errors import InvalidInstances, InvalidSetting, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import ClassLabel, Dataset, Split
from lockstep_train.data.split.parts import Parts
from lockstep_train.data.split.shares import Shares
from lockstep_train.defaults import settle_defaults
from lockstep_train.estimator.parameters import EstimatorParameters
from lockstep_train.estimator.samples import (
    FEWEST_SAMPLES,
    Encoding,
    checked_samples,
    checked_weights,
    learn,
    take_samples,
)
from lockstep_train.evaluate.calibrate import calibrated
from lockstep_train.evaluate.evaluate import EVALUATION_ROWS, evaluate
from lockstep_train.fit.fit import fit
from lockstep_train.network.network import Answering
from lockstep_train.pipeline import Trained


class InvalidArgument(InvalidSetting, ValueError):
    """An argument that makes no sense, as an error of the type that scikit-learn expects."""


@contextmanager
def _as_value_errors() -> Iterator[None]:
    try:
        yield
    except (InvalidSetting, InvalidInstances, Unreadable) as error:
        raise InvalidArgument(str(error)) from error


class LockstepEstimator(EstimatorParameters):
    """What the classifier and the regressor share; use one of those.

    Attributes:
        fit_: the fitted network, its configuration and its curves.
        calibration_: of the probabilities; None for a regression, or where it was not asked for.
        dataset_: what it was fitted to and stopped by.
        encoding_: how samples become features.
        n_features_in_: number of the columns of X.
        feature_names_in_: their names, where X had any.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's
        """Fit the network, stopping by a part of the samples.

        Args:
            X: ``[n, d]`` numbers, NaN where one is missing; or a pandas or polars frame, whose
                columns may hold words, categories and booleans as well.
            y: ``[n]`` labels, or numbers.
            sample_weight: ``[n]`` ≥ 0, how much each sample counts; one of weight 0 is none.

        Returns:
            itself.

        Raises:
            ValueError: samples or parameters that make no sense.
        """
        samples, targets = checked_samples(self, X, y)
        values, classes = self._read_targets(targets)
        weights = self._weights(samples, targets, sample_weight)
        if weights is not None:
            counted = np.flatnonzero(weights > 0)
            if len(counted) < FEWEST_SAMPLES:
                raise InvalidArgument(
                    f"At least {FEWEST_SAMPLES} samples must have a weight above zero, got "
                    f"{len(counted)}."
                )
            samples, values = take_samples(samples, counted), values[counted]
            weights = weights[counted]
        with _as_value_errors():
            configuration = self.configuration()
            parts = self._parts(values, classes, configuration)
            encoding, features = learn(self, samples, parts.train, configuration)
            if weights is not None:
                weights = weights / weights[parts.train].mean()
            train, validation = (
                Split(features[rows], values[rows], None if weights is None else weights[rows])
                for rows in (parts.train, parts.validation)
            )
            self.encoding_: Encoding = encoding
            self.dataset_ = Dataset(
                name=type(self).__name__,
                task="regression" if classes is None else "classification",
                columns=encoding.columns,
                classes=classes,
                target_name=str(getattr(y, "name", None) or "target"),
                train=train,
                validation=validation,
                test=validation,
                left_out=encoding.left_out,
            )
            self._learn(settle_defaults(configuration, self.dataset_))
        return self

    def export(
        self,
        models: str | Path,
        *,
        name: str,
        X: Any = None,  # noqa: N803 - scikit-learn's
        y: Any = None,
        version: int | None = None,
    ) -> Artifact:
        """Export the network, prove the files, and write them as an artifact.

        Args:
            models: the repository.
            name: the model's name.
            X: samples that were not fitted, to be measured on; by default those that the fit
                stopped by, on which the figures are a little too good.
            y: their labels or numbers.
            version: its number; the next one where it is None.

        Raises:
            NotFittedError: before `fit`.
            ValueError: samples, a name or a repository that make no sense.
            Disproved: the files contradict inference mode; nothing is written then.
        """
        check_is_fitted(self)
        with _as_value_errors():
            dataset = self.dataset_
            if X is not None:
                features = self.encoding_.features(self, X)
                dataset = replace(dataset, test=Split(features, self._known_targets(y)))
            metrics = evaluate(self.fit_.network, dataset.test)
            trained = Trained(dataset, self.fit_, self.calibration_, metrics)
            artifact, _ = trained.export(Path(models), name, version)
        if why := (artifact.manifest.training or {}).get("inexact"):
            warnings.warn(f"Exported in float32. {why}", stacklevel=2)
        return artifact

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _parts(
        self,
        values: NDArray[Any],
        classes: tuple[ClassLabel, ...] | None,
        configuration: Configuration,
    ) -> Parts:
        share = self.validation_fraction
        if not 0 < share < 1:
            raise InvalidSetting(f"validation_fraction must be between 0 and 1, got {share}.")
        rows, shares = np.arange(len(values)), Shares(1 - share, share, 0.0)
        seed = configuration.training.seed
        parts = Parts.at_random(rows, None if classes is None else values, shares, seed)
        # Where each class has one sample all of them are trained on, and none is left to stop by.
        return parts if len(parts.validation) else Parts.at_random(rows, None, shares, seed)

    def _weights(
        self, samples: Any, targets: NDArray[Any], sample_weight: Any
    ) -> NDArray[np.float32] | None:
        del targets
        if sample_weight is None:
            return None
        with _as_value_errors():
            return checked_weights(sample_weight, len(samples))

    def _learn(self, configuration: Configuration) -> None:
        self.fit_ = fit(configuration, self.dataset_)
        if self.fit_.interrupted:
            warnings.warn("Interrupted: the best epoch until then is kept.", stacklevel=3)
        self.calibration_ = calibrated(self.fit_, self.dataset_)
        # In float64, rounded once: a sample's answer is then the same in any batch.
        self._served = Answering(copy.deepcopy(self.fit_.network)).double().eval()

    def _answers(self, samples: Any) -> FeatureArray:
        """What the network answers to samples: ``[n, n_classes]``, or ``[n, 1]``."""
        check_is_fitted(self)
        with _as_value_errors():
            features = self.encoding_.features(self, samples)
        with torch.inference_mode():
            parts = torch.split(torch.tensor(features, dtype=torch.float64), EVALUATION_ROWS)
            answers: FeatureArray = (
                torch.cat([self._served(rows) for rows in parts]).float().numpy()
            )
        return answers

    def _read_targets(
        self, targets: NDArray[Any]
    ) -> tuple[NDArray[Any], tuple[ClassLabel, ...] | None]:
        """The targets as a split holds them, and the labels of a classification."""
        return targets.astype(np.float32), None

    def _known_targets(self, targets: Any) -> NDArray[Any]:
        """Targets of samples that were not fitted, as a split holds them."""
        return np.asarray(targets, dtype=np.float32)


@dataclass(kw_only=True, eq=False, repr=False)
class LockstepClassifier(ClassifierMixin, LockstepEstimator):  # type: ignore[misc]  # untyped
    """A classifier; see `LockstepEstimator`.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> X, y = load_wine(return_X_y=True)
        >>> classifier = LockstepClassifier(hidden=(16,), epochs=20, random_state=0).fit(X, y)
        >>> classifier.predict_proba(X).shape
        (178, 3)

    Attributes:
        classes_: the labels, sorted.
    """

    label_smoothing: float | None = None
    calibrate: bool | None = None
    class_weight: Mapping[Any, float] | Literal["balanced"] | None = None

    def predict_proba(self, X: Any) -> FeatureArray:  # noqa: N803 - scikit-learn's
        """Probabilities ``[n, n_classes]``, in the order of ``classes_``."""
        return self._answers(X)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803 - scikit-learn's
        """The most probable label of each sample ``[n]``."""
        check_is_fitted(self)
        labels: NDArray[Any] = self.classes_[self._answers(X).argmax(axis=1)]
        return labels

    def _read_targets(
        self, targets: NDArray[Any]
    ) -> tuple[NDArray[Any], tuple[ClassLabel, ...] | None]:
        check_classification_targets(targets)
        encoder = LabelEncoder().fit(targets)
        self.classes_ = encoder.classes_
        labels = tuple(map(_label, self.classes_.tolist()))
        return encoder.transform(targets).astype(np.int64), labels

    def _known_targets(self, targets: Any) -> NDArray[Any]:
        labels = np.asarray(targets)
        if not np.isin(labels, self.classes_).all():
            raise InvalidSetting(f"y must hold labels that were fitted: {self.classes_.tolist()}.")
        return np.searchsorted(self.classes_, labels).astype(np.int64)

    def _weights(
        self, samples: Any, targets: NDArray[Any], sample_weight: Any
    ) -> NDArray[np.float32] | None:
        weights = super()._weights(samples, targets, sample_weight)
        if self.class_weight is None:
            return weights
        of_classes = compute_sample_weight(self.class_weight, targets).astype(np.float32)
        combined: NDArray[np.float32] = of_classes if weights is None else weights * of_classes
        return combined


@dataclass(kw_only=True, eq=False, repr=False)
class LockstepRegressor(RegressorMixin, LockstepEstimator):  # type: ignore[misc]  # untyped
    """A regressor; see `LockstepEstimator`.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> LockstepRegressor(hidden=(16,), epochs=5, random_state=0).fit(X, y).predict(X).shape
        (442,)
    """

    def predict(self, X: Any) -> NDArray[np.float32]:  # noqa: N803 - scikit-learn's
        """The prediction for each sample ``[n]``, in the target's own unit."""
        predicted: NDArray[np.float32] = self._answers(X)[:, 0]
        return predicted


def _label(label: Any) -> ClassLabel:
    """A label with a type that JSON keeps; a number that is no whole one becomes its text."""
    if isinstance(label, bool | int | str):
        return label
    return int(label) if isinstance(label, float) and label.is_integer() else str(label)
