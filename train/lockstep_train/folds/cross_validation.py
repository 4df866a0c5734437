"""Cross-validation: a network for each fold, and what each is worth on the rows it never saw."""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.whole import write_file
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.evaluate.calibrate import calibrated
from lockstep_train.evaluate.evaluate import evaluate, log_probabilities, predictions
from lockstep_train.evaluate.metrics import Metrics
from lockstep_train.fit.fit import Fit, fit
from lockstep_train.folds.folds import Fold, folds_of, pooled
from lockstep_train.network.ensemble import Ensemble
from lockstep_train.network.network import Network


@dataclass(frozen=True)
class Measured:
    """One fold after its fit.

    Attributes:
        fold: its rows.
        fit: its network, calibrated where the configuration says so.
        metrics: on the rows that were held out.
    """

    fold: Fold
    fit: Fit
    metrics: Metrics


@dataclass(frozen=True)
class CrossValidation:
    """What came of cross-validating a configuration.

    Attributes:
        dataset: whose rows were dealt.
        folds: in their order.
        rows: all rows of the folds, in the order of the source.
        answers: of the network that never saw the row: probabilities ``[n, n_classes]``, or
            ``[n, 1]`` predictions in the target's own unit.
    """

    dataset: Dataset
    folds: tuple[Measured, ...]
    rows: Split
    answers: NDArray[np.float64]

    @property
    def figures(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over the folds of each metric that every fold has."""
        measured = [fold.metrics.as_dict() for fold in self.folds]
        shared = [name for name in measured[0] if all(name in each for each in measured)]
        return {
            name: (fmean(values), stdev(values))
            for name in shared
            if name != "rows"
            for values in [[each[name] for each in measured]]
        }

    def write(self, path: Path) -> None:
        """Write the answers as CSV, whole or not at all, in the order of the source's rows.

        The columns are row (its number in the source, from 1), fold, target and, as `lockstep
        predict` names them, label and probability_CLASS, or prediction.

        Raises:
            InvalidSetting: the file cannot be written.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(self._header())
        writer.writerows(self._lines())
        try:
            write_file(path, (text.getvalue().encode(),))
        except OSError as error:
            raise InvalidSetting(f"{path} cannot be written: {error.strerror}.") from error

    def _header(self) -> list[str]:
        if self.dataset.classes is None:
            return ["row", "fold", "target", "prediction"]
        named = [f"probability_{label}" for label in self.dataset.classes]
        return ["row", "fold", "target", "label", *named]

    def _lines(self) -> list[list[Any]]:
        folds = np.zeros(len(self.rows), np.int64)
        for measured in self.folds:
            folds[measured.fold.places] = measured.fold.number
        numbers = self.rows.rows if self.rows.rows is not None else np.arange(len(self.rows))
        classes = self.dataset.classes
        lines: list[list[Any]] = []
        for i, answer in enumerate(self.answers.astype(np.float32)):
            target: Any = self.rows.targets[i]
            labels = []
            if classes is not None:
                target, labels = classes[int(target)], [classes[int(answer.argmax())]]
            lines.append([int(numbers[i]) + 1, int(folds[i]), target, *labels, *answer])
        return lines


def cross_validate(
    configuration: Configuration,
    dataset: Dataset,
    count: int,
    *,
    with_test: bool = True,
    on_fold: Callable[[Measured], None] | None = None,
) -> CrossValidation:
    """Fit, calibrate and measure a network for each fold.

    Args:
        configuration: of each fit.
        dataset: its three splits are dealt anew.
        count: of folds.
        with_test: whether the rows of the test split are dealt too; they are not where the folds'
            networks are to be measured together afterwards, or where the test is a file.
        on_fold: is told of each fold when it is over.

    Raises:
        InvalidSetting: as for `folds.folds.folds_of`.
        Diverged: a loss is not a finite number.
        KeyboardInterrupt: before every fold was fitted to its end: no fold is left half fitted.
    """
    rows = pooled(dataset, with_test=with_test)
    answers = np.zeros((len(rows), len(dataset.classes or ("number",))))
    measured = []
    for fold in folds_of(configuration, dataset, count, with_test=with_test):
        measured.append(_measure(configuration, fold))
        answers[fold.places] = _answers(measured[-1].fit.network, fold.dataset.test)
        if on_fold is not None:
            on_fold(measured[-1])
    return CrossValidation(dataset, tuple(measured), rows, answers)


def _measure(configuration: Configuration, fold: Fold) -> Measured:
    fitted = fit(configuration, fold.dataset)
    if fitted.interrupted:
        raise KeyboardInterrupt
    calibrated(fitted, fold.dataset)
    return Measured(fold, fitted, evaluate(fitted.network, fold.dataset.test))


def _answers(network: Network, split: Split) -> NDArray[np.float64]:
    if network.task == "regression":
        return predictions(network, split)[:, None]
    return np.exp(log_probabilities(network, split))


def figure_rows(validation: CrossValidation) -> Sequence[tuple[str, ...]]:
    """The figures as rows of a table: metric, mean ± deviation, then each fold's own."""
    return [
        (
            name,
            f"{mean:.4g} ± {deviation:.2g}",
            *(f"{fold.metrics.as_dict()[name]:.4g}" for fold in validation.folds),
        )
        for name, (mean, deviation) in validation.figures.items()
    ]


def ensemble_of(validation: CrossValidation) -> Fit:
    """The folds' networks as one, to be exported as a fit is.

    Its curves are those of the fold whose best validation loss is the median; its network has seen
    every row of the folds, so only other rows can measure it.
    """
    fits = [fold.fit for fold in validation.folds]
    typical = sorted(fits, key=lambda fitted: fitted.best.validation_loss)[len(fits) // 2]
    return replace(
        typical,
        network=Ensemble([copy.deepcopy(fitted.network) for fitted in fits]),
        seconds=sum(fitted.seconds for fitted in fits),
        members=sum(fitted.members for fitted in fits),
    )
