"""Real data sets as they are published."""

import os
from pathlib import Path

import numpy as np
import pytest

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.load import load

FOLDER = os.environ.get("LOCKSTEP_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="LOCKSTEP_DATA names no folder of data sets")

ADULT = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation"),
    *("relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week"),
    *("native_country", "income"),
)


def loaded(source, **data):
    return load(str(Path(FOLDER) / source), Configuration.model_validate({"data": data}))


def sizes(dataset):
    return [len(dataset.train), len(dataset.validation), len(dataset.test)]


def test_adult_with_its_official_test_file():
    test = str(Path(FOLDER) / "adult/adult-test.csv")
    dataset = loaded("adult/adult-train.csv", header=False, names=ADULT, target="income", test=test)
    assert sizes(dataset) == [26560, 6001, 16281]
    assert dataset.classes == ("<=50K", ">50K")
    kinds = [column.kind for column in dataset.columns]
    assert (kinds.count("numeric"), kinds.count("categorical")) == (6, 8)
    missing = {column.name for column in dataset.columns if column.missing_allowed}
    assert missing == {"workclass", "occupation", "native_country"}
    assert dataset.test.targets.mean() == pytest.approx(0.236, abs=1e-3)
    assert any("full stop" in note for note in dataset.notes)


def test_the_complete_california_file_without_a_header():
    dataset = loaded(
        "california_housing/cal_housing.data", header=False, target="column_9", split="64/16/20"
    )
    assert sizes(dataset) == [13209, 3302, 4129]
    assert dataset.task == "regression"
    assert {column.kind for column in dataset.columns} == {"numeric"}
    assert not any(column.missing_allowed for column in dataset.columns)


def test_the_california_file_with_missing_values_and_a_category():
    dataset = loaded("california_housing/housing.csv", target="median_house_value")
    columns = {column.name: column for column in dataset.columns}
    assert sum(sizes(dataset)) == 20640
    assert [c.name for c in dataset.columns if c.missing_allowed] == ["total_bedrooms"]
    assert columns["ocean_proximity"].vocabulary[0] == "<1H OCEAN"
    assert "ISLAND" in columns["ocean_proximity"].vocabulary


def test_fashion_mnist_with_its_official_test_split():
    dataset = loaded("fashion_mnist")
    assert sizes(dataset) == [54000, 6000, 10000]
    assert dataset.classes == tuple(range(10))
    assert len(dataset.columns) == 784
    assert np.bincount(dataset.test.targets).tolist() == [1000] * 10
