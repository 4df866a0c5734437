import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.artifact.columns import Column, describe_columns
from lockstep.artifact.encoding import check_features
from lockstep.artifact.golden import Golden, golden_features, golden_tensors, outliers
from lockstep.errors import Unreadable


def table(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 2, (rows, columns)).astype(np.float32)


def test_golden_rows_survive_the_way_through_a_file():
    golden = Golden(
        table(3, 2),
        {"y": table(3, 1), "label": np.array(["a", "bb", "c"], object)},
        {"onnx": {"y": table(3, 1, seed=1)}, "torchscript": {"y": table(3, 1, seed=2)}},
    )
    again = Golden.from_bytes(golden.to_bytes())
    assert again.features.tobytes() == golden.features.tobytes()
    assert again.reference["label"].tolist() == ["a", "bb", "c"]
    for engine, outputs in golden.engines.items():
        assert again.engines[engine]["y"].tobytes() == outputs["y"].tobytes()
    assert again.to_bytes() == golden.to_bytes()


@given(st.binary(max_size=60))
def test_bytes_that_are_no_golden_rows_are_unreadable(data):
    with pytest.raises(Unreadable, match=r"golden\.npz"):
        Golden.from_bytes(data)


def test_a_pickle_is_never_read():
    buffer = io.BytesIO()
    np.savez(buffer, features=np.array([print], object))
    with pytest.raises(Unreadable):
        Golden.from_bytes(buffer.getvalue())


def test_golden_rows_without_a_reference_are_unreadable():
    buffer = io.BytesIO()
    np.savez(buffer, features=table(2, 2))
    with pytest.raises(Unreadable, match="no reference"):
        Golden.from_bytes(buffer.getvalue())


@pytest.mark.parametrize("rows", [2, 10, 500])
def test_there_are_at_least_64_typical_rows_and_the_extremes_of_every_column(rows):
    sample = table(rows, 4)
    columns = describe_columns("abcd", sample)
    features = golden_features(columns, sample, seed=0)
    assert features.dtype == np.float32
    assert len(features) >= 64
    known = {row.tobytes() for row in sample}
    assert all(row.tobytes() in known for row in features[:64])
    assert features.min(axis=0).tolist() == sample.min(axis=0).tolist()
    assert features.max(axis=0).tolist() == sample.max(axis=0).tolist()
    check_features(features, columns)


def test_missing_is_among_them_where_it_is_allowed():
    sample = table(50, 3)
    sample[7, 1] = np.nan
    columns = describe_columns("abc", sample)
    missing = np.isnan(golden_features(columns, sample, seed=0))
    assert missing[:, 1].any()
    assert not missing[:, [0, 2]].any()


MIXED = (
    Column(name="level", missing_allowed=True),
    Column(
        name="colour", kind="categorical", vocabulary=("red", "green", "blue"), unknown_allowed=True
    ),
    Column(name="size", kind="categorical", vocabulary=("S", "L"), missing_allowed=True),
    Column(name="member", kind="boolean", missing_allowed=True),
    Column(name="paid", kind="boolean"),
)


def mixed_rows() -> np.ndarray:
    codes = np.random.default_rng(0).integers(0, 2, (30, 4))
    return np.column_stack([table(30, 1), codes]).astype(np.float32)


@pytest.mark.parametrize(
    ("place", "values"),
    [(1, {0, 1, 2, 3}), (2, {0, 1, None}), (3, {0, 1, None}), (4, {0, 1})],
    ids=["a category never seen", "a missing category", "a missing boolean", "a boolean"],
)
def test_every_kind_of_value_that_a_column_may_hold_is_among_them(place, values):
    features = golden_features(MIXED, mixed_rows(), seed=0)
    found = {None if np.isnan(value) else int(value) for value in features[:, place]}
    assert found == values


def test_one_row_lacks_everything_that_may_be_missing_and_one_has_seen_nothing():
    features = golden_features(MIXED, mixed_rows(), seed=0)
    assert np.isnan(features).sum(axis=1).max() == 3
    check_features(features, MIXED)


def test_the_code_never_seen_is_the_one_after_the_last():
    lone = (Column(name="a", kind="categorical", vocabulary=("only",), unknown_allowed=True),)
    features = golden_features(lone, np.zeros((4, 1), np.float32), seed=0)
    assert set(features[:, 0]) == {0.0, 1.0}


def test_the_seed_decides_the_choice():
    sample = table(500, 3)
    columns = describe_columns("abc", sample)
    chosen = [golden_features(columns, sample, seed).tobytes() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
def test_tensors_of_unknown_meaning_come_at_several_scales_with_constants(shape):
    rows = golden_tensors(shape, seed=0)
    assert rows.shape[1:] == shape
    assert len(rows) >= 64
    assert np.isfinite(rows).all()
    assert (rows.reshape(len(rows), -1) == 0).all(axis=1).any()
    assert golden_tensors(shape, seed=0).tobytes() == rows.tobytes()


def test_outliers_are_far_from_everything_and_still_finite():
    sample = table(64, 2)
    columns = (*describe_columns("ab", sample)[:1], Column(name="c", kind="categorical"))
    far = outliers(columns, sample)
    assert (abs(far[:, 0] - sample[:, 0]) > 500).all()
    assert far[:, 1].tolist() == sample[:, 1].tolist()
    huge = np.full((2, 1), 3e38, np.float32)
    assert np.isfinite(outliers(describe_columns("a", huge), huge)).all()


def test_outliers_of_tensors_are_scaled():
    rows = golden_tensors((2, 2), seed=0)
    assert outliers((), rows).tolist() == (rows * np.float32(1000)).tolist()
