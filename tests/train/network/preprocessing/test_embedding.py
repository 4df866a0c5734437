import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lockstep_train.network.preprocessing.embedding import OPEN_END, Periodic, PiecewiseLinear

EXTREME = [3.4e38, -3.4e38, 1e-38]


def places(embedding, values):
    return embedding(torch.tensor(values, dtype=torch.float32).reshape(-1, 1))


def test_a_number_fills_the_bins_below_it_and_a_share_of_its_own():
    embedding = PiecewiseLinear([np.array([0, 1, 3, 4], np.float32)])
    made = places(embedding, [0.0, 0.5, 2.0, 4.0])
    expected = [[0, 0, 0], [0.5, 0, 0], [1, 0.5, 0], [1, 1, 1]]
    assert torch.equal(made, torch.tensor(expected, dtype=torch.float32))


def test_the_ends_are_open_as_far_as_ten_widths():
    embedding = PiecewiseLinear([np.array([0, 1, 3], np.float32)])
    made = places(embedding, [-2.0, 5.0, *EXTREME[:2]])
    far = 1 + OPEN_END
    assert torch.equal(made, torch.tensor([[-2, 0], [1, 2], [1, far], [-OPEN_END, 0]]))


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 200),
    bins=st.integers(2, 40),
    digits=st.sampled_from([0, 1, 6]),
)
def test_columns_have_as_many_bins_as_they_have_distinct_quantiles(seed, rows, bins, digits):
    generator = np.random.default_rng(seed)
    values = np.round(generator.lognormal(0, 2, (rows, 3)), digits).astype(np.float32)
    embedding = PiecewiseLinear.of(values, bins)
    counts = torch.bincount(embedding.column, minlength=3)
    quantiles = np.quantile(values.astype(np.float64), np.linspace(0, 1, bins + 1), axis=0)
    for j in range(3):
        edges = len(np.unique(quantiles[:, j].astype(np.float32)))
        assert counts[j] == max(1, edges - 1)
        assert counts[j] <= bins
    made = embedding(torch.tensor(values))
    assert made.shape == (rows, embedding.width)
    # A constant column's one bin has an edge that training does not reach.
    inside = made[:, counts.repeat_interleave(counts) > 1]
    assert ((inside >= 0) & (inside <= 1 + 1e-6)).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_places_are_finite_whatever_training_and_the_row_hold(values):
    rows = np.array(values, np.float32).reshape(-1, 1) / 4
    embedding = PiecewiseLinear.of(rows, 8)
    assert torch.isfinite(places(embedding, [*values, *EXTREME])).all()


def test_mostly_equal_numbers_make_few_bins():
    values = np.concatenate([np.zeros(95), np.arange(1, 6)]).astype(np.float32)
    assert PiecewiseLinear.of(values.reshape(-1, 1), 10).width == 1


def test_missing_numbers_make_no_edges():
    values = np.array([0, np.nan, 1, 2, np.nan, 3, 4], np.float32).reshape(-1, 1)
    there = PiecewiseLinear.of(values[~np.isnan(values)].reshape(-1, 1), 4)
    assert torch.equal(PiecewiseLinear.of(values, 4).low, there.low)


def periodic(**settings):
    torch.manual_seed(0)
    return Periodic(**{"n_columns": 3, "frequencies": 8, "column_width": 5, **settings})


@pytest.mark.parametrize(("asked", "built"), [(2, 2), (3, 3), (4, 4), (7, 4), (32, 32), (35, 32)])
def test_frequencies_fill_whole_vectors(asked, built):
    assert periodic(frequencies=asked).frequencies.shape == (3, built)


def test_a_column_becomes_a_linear_layer_of_its_own_waves():
    embedding = periodic()
    columns = torch.randn(4, 3)
    made = embedding(columns).reshape(4, 3, 5)
    for j in range(3):
        angles = columns[:, j : j + 1] * embedding.frequencies[j]
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        weight = embedding.columns.linear.weight[5 * j : 5 * j + 5, :, 0]
        expected = waves @ weight.T + embedding.columns.linear.bias[5 * j : 5 * j + 5]
        torch.testing.assert_close(made[:, j], expected.relu())


def test_frequencies_and_layers_learn():
    embedding = periodic()
    embedding(torch.randn(6, 3)).sum().backward()
    for parameter in embedding.parameters():
        assert parameter.grad.abs().sum() > 0


def test_numbers_far_outside_become_the_waves_of_the_end():
    embedding = periodic()
    far = torch.tensor([[3.4e38] * 3, [-3.4e38] * 3])
    assert torch.equal(embedding(far), embedding(far.sign() * 100))
