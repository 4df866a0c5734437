import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lockstep.artifact.columns import Column
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.preprocessing import PreprocessingConfiguration
from lockstep_train.network.preprocessing.numeric import Boolean, Imputation, Missing, Numeric
from lockstep_train.network.preprocessing.preprocessing import Preprocessing
from lockstep_train.network.preprocessing.standardisation import Standardisation
from mixed import dataset_of, numeric_dataset

NAN = float("nan")


def numeric(features, **settings):
    features = np.asarray(features, np.float32)
    dataset = numeric_dataset(features)
    return Numeric.of(PreprocessingConfiguration(**settings), dataset.columns, features)


def test_a_missing_number_becomes_the_median_of_those_that_are_there():
    rows = np.array([[1, 5], [2, NAN], [9, NAN]], np.float32)
    imputation = Imputation.of(rows)
    filled = imputation(torch.tensor([[NAN, NAN], [7.0, NAN]]))
    assert torch.equal(filled, torch.tensor([[2.0, 5.0], [7.0, 5.0]]))


def test_a_column_without_any_value_is_filled_with_zero_and_stays_finite():
    part = numeric([[1, NAN], [2, NAN], [3, NAN]])
    assert torch.equal(part(torch.tensor([[2.0, NAN]])), torch.zeros(1, 2))


def test_what_is_missing_does_not_count_for_mean_and_deviation():
    standardisation = Standardisation.of(np.array([[1, NAN], [3, 4], [NAN, 8]], np.float32))
    assert standardisation.mean.tolist() == [2, 6]
    assert standardisation.scale.tolist() == [1, 2]


def test_a_table_without_missing_values_is_not_searched_for_them():
    part = numeric([[1, 2], [3, 4]])
    assert isinstance(part.imputation, nn.Identity)
    assert isinstance(part.selection, nn.Identity)


def test_a_column_that_may_miss_values_is_imputed_though_no_training_row_does():
    columns = (Column(name="a", missing_allowed=True), Column(name="b"))
    dataset = dataset_of(np.array([[1, 5], [3, 9]], np.float32), columns)
    preprocessing = Preprocessing.of(Configuration(), dataset)
    assert list(preprocessing.parts) == ["numeric"]
    assert torch.equal(preprocessing(torch.tensor([[NAN, 7.0]])), torch.zeros(1, 2))


def test_an_indicator_tells_what_is_missing():
    missing = Missing([2, 0], n_columns=3)
    told = missing(torch.tensor([[NAN, NAN, 1.0], [0.0, 1.0, NAN]]))
    assert torch.equal(told, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


def test_booleans_stay_zero_and_one_and_a_missing_one_is_the_median():
    columns = (Column(name="a", kind="boolean"), Column(name="n"), Column(name="b", kind="boolean"))
    rows = np.array([[0, 9, 1], [1, 8, 1], [1, 7, NAN]], np.float32)
    boolean = Boolean(columns, rows)
    assert boolean.width == 2
    told = boolean(torch.tensor([[0.0, 5.0, NAN], [1.0, 5.0, 0.0], [3e38, 5.0, -7.0]]))
    assert torch.equal(told, torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))


@given(
    mean=st.sampled_from([1e3, -1e5, 1e6]),
    deviation=st.floats(1.0, 3.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_deviation_that_is_small_against_the_mean_survives(mean, deviation, seed):
    values = np.random.default_rng(seed).normal(mean, deviation, (200, 1)).astype(np.float32)
    exact = values.astype(np.float64)
    expected = (exact - exact.mean()) / exact.std()
    made = numeric(values)(torch.tensor(values)).numpy()
    # What is left is the rounding of the mean to float32: the same for every row.
    off = made - expected
    assert np.abs(off).max() <= np.spacing(np.float32(abs(mean)))
    assert np.ptp(off) < 1e-5


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
@pytest.mark.parametrize("embedding", ["none", "piecewise_linear", "periodic"])
def test_a_numeric_part_is_as_wide_as_it_says(scaling, embedding):
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    part = numeric(rows, numeric=scaling, embedding=embedding, bins=5, embedding_width=2)
    expected = {"none": 3, "piecewise_linear": 15, "periodic": 6}
    assert part.width == expected[embedding]
    assert part(torch.tensor(rows)).shape == (50, part.width)


def test_bins_are_learned_from_the_scaled_numbers():
    rows = np.random.default_rng(0).lognormal(3, 2, (500, 1)).astype(np.float32)
    part = numeric(rows, numeric="robust", embedding="piecewise_linear", bins=4)
    places = part(torch.tensor(rows))
    assert (
        (places > 0).float().mean(dim=0) - torch.tensor([1, 0.75, 0.5, 0.25])
    ).abs().max() < 0.02
