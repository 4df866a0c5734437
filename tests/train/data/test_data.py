import dataclasses
import re

import numpy as np
import pytest

from lockstep.artifact.columns import Column
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.data.sources.built_in import BUILT_IN, built_in
from lockstep_train.data.sources.load import load

SHAPES = {
    "digits": (1797, 64, tuple(range(10))),
    "wine": (178, 13, ("class_0", "class_1", "class_2")),
    "breast_cancer": (569, 30, ("malignant", "benign")),
    "diabetes": (442, 10, None),
}


def parts_of(dataset):
    return dataset.train, dataset.validation, dataset.test


def tiny(**changes):
    rows = Split(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]))
    values = {
        "name": "tiny",
        "task": "classification",
        "columns": (Column(name="a"), Column(name="b")),
        "classes": ("no", "yes"),
        "target_name": "answer",
        "train": rows,
        "validation": rows,
        "test": rows,
    }
    return Dataset(**{**values, **changes})


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_source_has_the_rows_columns_and_classes_that_scikit_learn_carries(name):
    rows, columns, classes = SHAPES[name]
    dataset = built_in(name, 0)
    assert sum(map(len, parts_of(dataset))) == rows
    assert len(dataset.column_names) == len(set(dataset.column_names)) == columns
    assert dataset.classes == classes
    assert dataset.task == ("regression" if classes is None else "classification")
    for split in parts_of(dataset):
        assert split.features.dtype == np.float32
        assert split.features.shape == (len(split), columns)
        assert split.targets.dtype == (np.float32 if classes is None else np.int64)


@pytest.mark.parametrize("name", BUILT_IN)
def test_column_names_are_single_words(name):
    assert all(column.isidentifier() for column in built_in(name, 0).column_names)


def test_class_labels_keep_their_type():
    digits, wine = built_in("digits", 0).classes, load("wine", Configuration()).classes
    assert {type(label) for label in digits} == {int}
    assert {type(label) for label in wine} == {str}


def test_diabetes_is_in_units_that_people_know():
    features = built_in("diabetes", 0).train.features
    age = features[:, 0]
    assert 18 < age.min() < age.max() < 100


@pytest.mark.parametrize("name", BUILT_IN)
def test_six_rows_in_ten_train_and_no_row_is_in_two_parts(name):
    dataset = built_in(name, 3)
    total = sum(map(len, parts_of(dataset)))
    for split, share in zip(parts_of(dataset), (0.6, 0.2, 0.2), strict=True):
        assert len(split) == pytest.approx(share * total, abs=2)
    whole = np.concatenate([split.features for split in parts_of(dataset)])
    source = np.concatenate([split.features for split in parts_of(built_in(name, 4))])
    assert sorted(map(bytes, whole)) == sorted(map(bytes, source))


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer"])
def test_every_part_has_each_class_in_its_share(name):
    dataset = built_in(name, 1)
    shares = [np.bincount(split.targets) / len(split) for split in parts_of(dataset)]
    assert np.abs(shares[0] - shares[1]).max() < 0.03
    assert np.abs(shares[0] - shares[2]).max() < 0.03


def test_the_same_seed_gives_the_same_parts_and_another_seed_others():
    once, again, other = (built_in("wine", seed) for seed in (7, 7, 8))
    for one, two in zip(parts_of(once), parts_of(again), strict=True):
        np.testing.assert_array_equal(one.features, two.features)
        np.testing.assert_array_equal(one.targets, two.targets)
    assert not np.array_equal(once.train.features, other.train.features)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("digit", "There is no source 'digit'. Did you mean digits? There are: digits, wine, "),
        ("mnist_784_x", "There is no source 'mnist_784_x'. There are: digits, wine, "),
    ],
)
def test_an_unknown_source_is_refused_with_what_there_is(source, sentence):
    with pytest.raises(InvalidSetting, match=re.escape(sentence)):
        load(source, Configuration())


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_training_rows_are_refused(rows):
    few = Split(np.zeros((rows, 2), np.float32), np.zeros(rows, np.int64))
    with pytest.raises(InvalidSetting, match=rf"{rows} training row\(s\): at least 2"):
        tiny(train=few)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_empty_part_is_refused(part):
    none = Split(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    with pytest.raises(InvalidSetting, match=f"{part} rows of tiny are none"):
        tiny(**{part: none})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(np.nan, "expected a value, got none"), (np.inf, "expected a number that float32 can hold")],
)
def test_a_value_that_is_no_finite_number_is_named_by_row_and_column(value, sentence):
    features = np.zeros((4, 2), np.float32)
    features[2, 1] = value
    with pytest.raises(InvalidSetting, match=f"test row 2 of tiny, column b: {sentence}"):
        tiny(test=Split(features, np.zeros(4, np.int64)))


def test_a_target_that_is_no_finite_number_is_named_by_row():
    targets = np.array([1, 2, np.nan, 4], np.float32)
    rows = Split(np.zeros((4, 2), np.float32), targets)
    with pytest.raises(InvalidSetting, match="train row 2 of tiny: the target answer"):
        tiny(task="regression", classes=None, train=rows)


@pytest.mark.parametrize("target", [-1, 2])
def test_a_class_without_a_label_is_refused(target):
    rows = Split(np.zeros((4, 2), np.float32), np.array([0, 1, target, 0]))
    with pytest.raises(InvalidSetting, match="index into its 2 classes"):
        tiny(validation=rows)


def test_other_columns_than_named_are_refused():
    rows = Split(np.zeros((4, 3), np.float32), np.zeros(4, np.int64))
    with pytest.raises(InvalidSetting, match=r"features \[4, 2\] and targets \[4\], got \[4, 3\]"):
        tiny(test=rows)


def test_a_dataset_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny().name = "other"
