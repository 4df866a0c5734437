"""Sources other than text: Parquet, Arrow, NPZ, IDX, frames and arrays of a program."""

import gzip
import re
import struct

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.frame import dataset_of
from lockstep_train.data.sources.load import load

N = 60
GENERATOR = np.random.default_rng(0)
FRAME = pl.DataFrame(
    {
        "number": GENERATOR.normal(size=N),
        "word": ["red", "green", None] * 20,
        "flag": [True, False] * 30,
        "y": ["no", "yes", "yes"] * 20,
    }
)
CONFIGURATION = Configuration.model_validate({"data": {"target": "y"}})


def parts_of(dataset):
    return dataset.train, dataset.validation, dataset.test


def equal(one, other):
    return one.columns == other.columns and all(
        a.features.tobytes() == b.features.tobytes() and a.targets.tobytes() == b.targets.tobytes()
        for a, b in zip(parts_of(one), parts_of(other), strict=True)
    )


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("parquet", pl.DataFrame.write_parquet),
        ("arrow", pl.DataFrame.write_ipc),
        ("feather", pl.DataFrame.write_ipc),
    ],
)
def test_a_file_holds_what_the_frame_does(tmp_path, suffix, write):
    path = tmp_path / f"table.{suffix}"
    write(FRAME, path)
    assert equal(load(str(path), CONFIGURATION), dataset_of(FRAME, CONFIGURATION))


@pytest.mark.parametrize(
    "frame",
    [
        FRAME.lazy(),
        pd.DataFrame(FRAME.to_dict(as_series=False)),
        pd.DataFrame(FRAME.to_dict(as_series=False)).astype({"word": "category"}),
        pd.DataFrame(FRAME.to_dict(as_series=False)).convert_dtypes(),
        pd.DataFrame(FRAME.to_dict(as_series=False), index=range(100, 100 + N)),
    ],
)
def test_a_frame_of_another_library_gives_the_same(frame):
    assert equal(dataset_of(frame, CONFIGURATION), dataset_of(FRAME, CONFIGURATION))


@pytest.mark.parametrize(
    "target", [FRAME["y"], FRAME["y"].to_list(), pd.Series(FRAME["y"].to_list())]
)
def test_a_target_may_stand_beside_the_frame(target):
    dataset = dataset_of(FRAME.drop("y"), CONFIGURATION, target=target)
    assert equal(dataset, dataset_of(FRAME, CONFIGURATION))
    assert dataset.target_name == "y"


def test_an_array_keeps_every_column_in_its_place():
    array = np.column_stack([np.ones(N), np.arange(N), FRAME["number"]])
    dataset = dataset_of(array, Configuration(), target=np.array(["a", "b"] * 30))
    assert dataset.column_names == ("x0", "x1", "x2")
    assert dataset.target_name == "target"
    assert dataset.classes == ("a", "b")
    assert {type(label) for label in dataset.classes} == {str}


def test_a_missing_number_of_an_array_is_missing():
    array = np.column_stack([FRAME["number"], np.where(np.arange(N) % 3, 1.5, np.nan)])
    assert dataset_of(array, Configuration(), target=FRAME["y"]).columns[1].missing_allowed


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ([[1, 2]], "must be a polars or pandas frame or a numpy array, got list"),
        (np.ones(4), "must be numbers of shape [rows, columns]"),
        (np.array([["a", "b"]]), "must be numbers of shape [rows, columns]"),
        (pl.DataFrame({"y": []}), "holds no rows"),
        (pd.DataFrame({"y": ["a", 1]}), "Column y holds values of several types"),
        (pd.DataFrame([[1, 2]], columns=["y", "y"]), "names two columns 'y'"),
    ],
)
def test_what_is_no_table_is_refused(frame, sentence):
    with pytest.raises(InvalidSetting, match=re.escape(sentence)):
        dataset_of(frame, CONFIGURATION)


def test_a_target_of_another_length_is_refused():
    with pytest.raises(InvalidSetting, match="each of its 60 rows, got 3"):
        dataset_of(FRAME.drop("y"), CONFIGURATION, target=[1, 2, 3])
    with pytest.raises(InvalidSetting, match=r"must be \[60\], one for each row, got \[3\]"):
        dataset_of(np.ones((60, 2)), CONFIGURATION, target=[1, 2, 3])


def test_a_frame_is_tested_on_another_whose_columns_may_stand_in_another_order():
    tested = FRAME.select("y", "flag", "word", "number").head(12).with_columns(more=pl.lit(1))
    dataset = dataset_of(FRAME, CONFIGURATION, test=tested)
    assert [len(part) for part in parts_of(dataset)] == [48, 12, 12]
    assert any("Columns that frame (test) alone has are left out: more" in n for n in dataset.notes)
    assert any("12 of 12 test rows" in note or "test rows equal" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("tested", "sentence"),
    [
        (FRAME.drop("word"), "frame (test) lacks the column 'word' of frame."),
        (FRAME.drop("y"), "frame (test) lacks the column 'y' of frame."),
        (FRAME.with_columns(number=pl.lit("x")), "frame (test), column number: expected Float64"),
    ],
)
def test_a_test_frame_of_other_columns_is_refused(tested, sentence):
    with pytest.raises(Unreadable, match=re.escape(sentence)):
        dataset_of(FRAME, CONFIGURATION, test=tested)


IMAGES = GENERATOR.integers(0, 256, (N, 3, 2), np.uint8)
LABELS = np.arange(N, dtype=np.uint8) % 3


@pytest.mark.parametrize(
    ("arrays", "names"),
    [
        ({"X": IMAGES.reshape(N, 6), "y": LABELS}, "x0 x1 x2 x3 x4 x5"),
        ({"features": IMAGES[:, :, 0] / 2, "targets": LABELS[:, None]}, "x0 x1 x2"),
        ({"data": IMAGES, "target": LABELS}, "pixel_0_0 pixel_0_1 pixel_1_0 pixel_1_1 pixel_2_0"),
    ],
)
def test_an_npz_file_holds_features_and_targets(tmp_path, arrays, names):
    np.savez(tmp_path / "a.npz", **arrays)
    dataset = load(str(tmp_path / "a.npz"), Configuration())
    assert " ".join(dataset.column_names).startswith(names)
    assert dataset.classes == (0, 1, 2)


def test_an_npz_file_may_hold_its_own_test_split(tmp_path):
    test = {"x_test": IMAGES[:12], "y_test": LABELS[:12]}
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=LABELS, **test)
    dataset = load(str(tmp_path / "a.npz"), Configuration())
    np.testing.assert_array_equal(dataset.test.features, IMAGES[:12].reshape(12, 6))
    assert [len(part) for part in parts_of(dataset)] == [48, 12, 12]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"a": IMAGES}, "expected the arrays X and y, .* got a; rename"),
        ({"X": IMAGES, "y": LABELS[:5]}, r"must be \[60\], one for each row, got \[5\]"),
        ({"X": np.array(["a"] * N), "y": LABELS}, "must be numbers of shape"),
    ],
)
def test_an_npz_file_of_other_arrays_is_refused(tmp_path, arrays, sentence):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(Unreadable, match=sentence):
        load(str(tmp_path / "a.npz"), Configuration())


@pytest.mark.parametrize("suffix", ["npz", "parquet", "arrow"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(b"no such thing")
    with pytest.raises(Unreadable, match=rf"a\.{suffix} cannot be read as "):
        load(str(tmp_path / f"a.{suffix}"), Configuration())


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(">u1").tobytes()


def write_idx(folder, part, images, labels, *, zipped=False):
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = idx(array)
        name = f"{part}-{kind}-ubyte{'.gz' if zipped else ''}"
        (folder / name).write_bytes(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize("zipped", [False, True])
def test_an_idx_folder_holds_pixels_in_their_places_and_the_official_test(tmp_path, zipped):
    write_idx(tmp_path, "train", IMAGES, LABELS, zipped=zipped)
    write_idx(tmp_path, "t10k", IMAGES[:9], LABELS[:9], zipped=zipped)
    dataset = load(str(tmp_path), Configuration())
    assert dataset.column_names[:3] == ("pixel_0_0", "pixel_0_1", "pixel_1_0")
    assert dataset.target_name == "label"
    assert dataset.classes == (0, 1, 2)
    np.testing.assert_array_equal(dataset.test.features, IMAGES[:9].reshape(9, 6))
    assert len(dataset.train) + len(dataset.validation) == N


def test_an_idx_folder_without_a_test_is_split(tmp_path):
    write_idx(tmp_path, "train", IMAGES, LABELS)
    assert len(load(str(tmp_path), Configuration()).test) == 12


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "expected an IDX file .*, got nothing"),
        (b"PK\x03\x04", "expected an IDX file .*, got 50 4b 03 04"),
        (idx(IMAGES)[:-1], "expected 360 bytes for the shape .*, got 359"),
        (idx(IMAGES[:5]), "expected a label for each of the 5 images"),
    ],
)
def test_a_broken_idx_file_is_named(tmp_path, content, sentence):
    write_idx(tmp_path, "train", IMAGES, LABELS)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(Unreadable, match=sentence):
        load(str(tmp_path), Configuration())


def test_a_folder_that_holds_none_is_refused(tmp_path):
    with pytest.raises(Unreadable, match="expected one file of train-images, got none"):
        load(str(tmp_path), Configuration())
