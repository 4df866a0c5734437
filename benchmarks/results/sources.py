"""The data sets, how each is read and split, how often it is measured, and what is to be reached.

Those that scikit-learn does not carry lie in the folder that LOCKSTEP_DATA names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.results.folds import Fold
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.sources.frame import dataset_of
from lockstep_train.data.sources.load import load

FOLDER_VARIABLE = "LOCKSTEP_DATA"

ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation"),
    *("relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week"),
    *("native_country", "income"),
)
CALIFORNIA_COLUMNS = (
    *("longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms"),
    *("population", "households", "median_income", "median_house_value"),
)

Settings = Mapping[str, Mapping[str, Any]]
Read = Callable[[Path, Configuration], Dataset]


@dataclass(frozen=True)
class Source:
    """A data set and its protocol.

    Attributes:
        name: on the command line.
        protocol: the split and what is predicted, for people.
        words: the settings that are given, by the folder of the data sets; all others are open.
        read: the data set, from that folder.
        seeds: runs of Lockstep.
        peer_seeds: runs of each peer.
        ablation_seeds: runs of each arm of the ablation; 0: there is none.
        bounds: what each figure must reach; without any the main one is held to the peers'.
        folder: its own within the folder of the data sets; None where scikit-learn carries it.
    """

    name: str
    protocol: str
    words: Callable[[Path], Settings]
    read: Read
    seeds: int = 5
    peer_seeds: int = 5
    ablation_seeds: int = 5
    bounds: Mapping[str, float] | None = None
    folder: str | None = None

    @property
    def absent(self) -> str | None:
        """Why it cannot be measured here, as a sentence; None where it can."""
        if self.folder is None:
            return None
        if FOLDER_VARIABLE not in os.environ:
            return f"{self.name} is skipped: {FOLDER_VARIABLE} names no folder of data sets."
        if not (_folder() / self.folder).is_dir():
            return f"{self.name} is skipped: {FOLDER_VARIABLE} holds no folder {self.folder}."
        return None

    def fold(self, seed: int) -> Fold:
        """The rows as a seed parts them.

        Raises:
            InvalidSetting: see `data.sources.load.load`.
            Unreadable: see there.
        """
        given = {**self.words(_folder()), "training": {"seed": seed}}
        configuration = Configuration.model_validate(given)
        return Fold.of(self.name, configuration, self.read(_folder(), configuration))


def _folder() -> Path:
    return Path(os.environ.get(FOLDER_VARIABLE, ""))


def _adult(folder: Path) -> Settings:
    test = str(folder / "adult" / "adult-test.csv")
    return {"data": {"target": "income", "header": False, "names": ADULT_COLUMNS, "test": test}}


def _california(folder: Path, configuration: Configuration) -> Dataset:
    path = folder / "california_housing" / "cal_housing.data"
    raw = pl.read_csv(path, has_header=False, new_columns=list(CALIFORNIA_COLUMNS))
    return dataset_of(california_frame(raw), configuration, name="california")


def california_frame(raw: pl.DataFrame) -> pl.DataFrame:
    """scikit-learn's 8 features of the districts, and the target in 100,000 USD.

    Args:
        raw: a district a row, with ``CALIFORNIA_COLUMNS``.
    """
    households = pl.col("households")
    return raw.select(
        MedInc=pl.col("median_income"),
        HouseAge=pl.col("housing_median_age"),
        AveRooms=pl.col("total_rooms") / households,
        AveBedrms=pl.col("total_bedrooms") / households,
        Population=pl.col("population"),
        AveOccup=pl.col("population") / households,
        Latitude=pl.col("latitude"),
        Longitude=pl.col("longitude"),
        MedHouseVal=pl.col("median_house_value") / 100_000,
    )


def _carried(name: str, protocol: str) -> Source:
    return Source(
        name,
        f"{protocol}; random 60/20/20 splits",
        words=lambda _: {},
        read=lambda _, configuration: load(name, configuration),
    )


SOURCES = (
    Source(
        "fashion_mnist",
        "10 classes of 28 × 28 images; the official test split, no augmentation, 6,000 of the "
        "training images for validation",
        words=lambda _: {},
        read=lambda folder, configuration: load(str(folder / "fashion_mnist"), configuration),
        seeds=3,
        peer_seeds=1,
        ablation_seeds=0,
        bounds={"accuracy": 0.910},
        folder="fashion_mnist",
    ),
    Source(
        "adult",
        "income above 50,000 USD; the official test file, 6,001 rows of the training file for "
        "validation",
        words=_adult,
        read=lambda folder, configuration: load(
            str(folder / "adult" / "adult-train.csv"), configuration
        ),
        ablation_seeds=3,
        bounds={"accuracy": 0.8575, "roc_auc": 0.9130},
        folder="adult",
    ),
    Source(
        "california",
        "median house value in 100,000 USD by scikit-learn's 8 features; random 64/16/20 splits",
        words=lambda _: {"data": {"target": "MedHouseVal", "split": "64/16/20"}},
        read=_california,
        ablation_seeds=3,
        bounds={"rmse": 0.4414},
        folder="california_housing",
    ),
    _carried("digits", "10 digits of 8 × 8 pixels"),
    _carried("wine", "3 cultivars"),
    _carried("breast_cancer", "benign or malignant"),
    _carried("diabetes", "progression of the disease after a year"),
)
