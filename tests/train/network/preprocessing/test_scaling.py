import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from sklearn.preprocessing import QuantileTransformer

from lockstep_train.network.preprocessing.scaling import KNOTS, QuantileScaling, RobustScaling
from lockstep_train.network.preprocessing.standardisation import Standardisation

EXTREME = [3.4e38, -3.4e38, 1e30, -1e-38, 0.0]
SCALINGS = (RobustScaling, QuantileScaling)


def column(values):
    return np.asarray(values, np.float32).reshape(-1, 1)


def scaled(scaling, values):
    with torch.no_grad():
        return scaling(torch.tensor(column(values))).numpy()[:, 0]


def test_robust_scaling_divides_by_the_distance_of_the_quartiles():
    scaling = RobustScaling.of(column([0, 1, 2, 3, 100]))
    assert (scaling.median.item(), scaling.scale.item()) == (2, 2)
    expected = 1.5 / np.sqrt(1 + 0.25)
    assert scaled(scaling, [2, 5]) == pytest.approx([0, expected])


def test_where_the_quartiles_meet_half_the_range_is_taken():
    scaling = RobustScaling.of(column([0] * 9 + [8]))
    assert (scaling.median.item(), scaling.scale.item()) == (0, 4)


def test_robust_numbers_stay_within_three():
    scaling = RobustScaling.of(column(np.random.default_rng(0).normal(size=100)))
    made = scaled(scaling, EXTREME)
    assert np.abs(made).max() <= 3
    assert made[:2] == pytest.approx([3, -3])


@pytest.mark.parametrize("kind", SCALINGS)
@pytest.mark.parametrize("constant", [0.0, -7.5, 1e30])
def test_a_constant_column_becomes_zero(kind, constant):
    scaling = kind.of(column([constant] * 5))
    assert scaled(scaling, [constant]) == 0
    assert np.isfinite(scaled(scaling, EXTREME)).all()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 400), tied=st.booleans())
def test_scalings_rise_and_stay_finite(seed, rows, tied):
    generator = np.random.default_rng(seed)
    values = generator.lognormal(0, 3, rows)
    values = np.round(values) if tied else values
    probes = np.sort(np.concatenate([values, generator.normal(0, 100, 50), EXTREME]))
    for kind in SCALINGS:
        made = scaled(kind.of(column(values)), probes)
        assert np.isfinite(made).all()
        assert (np.diff(made) >= -1e-6).all()


def test_ranks_become_those_of_a_normal_distribution():
    values = np.random.default_rng(0).lognormal(0, 2, 5000)
    made = scaled(QuantileScaling.of(column(values)), values)
    assert abs(made.mean()) < 0.02
    assert made.std() == pytest.approx(1, abs=0.02)
    wanted = QuantileTransformer(n_quantiles=KNOTS, output_distribution="normal")
    inner = np.abs(made) < 2
    assert made[inner] == pytest.approx(wanted.fit_transform(column(values))[inner, 0], abs=5e-3)


def test_the_ends_are_the_ranks_of_the_first_and_last_row():
    scaling = QuantileScaling.of(column(np.arange(1000)))
    assert scaled(scaling, [-1e30, 0, 999, 1e30]) == pytest.approx(
        ndtri([0.0005, 0.0005, 0.9995, 0.9995]), rel=1e-5
    )


def test_a_value_that_many_rows_share_has_the_middle_of_their_ranks():
    values = np.concatenate([np.zeros(600), np.linspace(1, 2, 400)])
    assert scaled(QuantileScaling.of(column(values)), [0]) == pytest.approx(ndtri(0.3), abs=0.02)


def test_columns_with_different_numbers_of_knots_do_not_touch_each_other():
    generator = np.random.default_rng(0)
    together = np.stack(
        [generator.normal(size=500), generator.integers(0, 3, 500), np.full(500, 4.0)], axis=1
    ).astype(np.float32)
    probes = torch.tensor(together[:50])
    alone = [QuantileScaling.of(together[:, j : j + 1])(probes[:, j : j + 1]) for j in range(3)]
    assert torch.equal(QuantileScaling.of(together)(probes), torch.cat(alone, dim=1))


@pytest.mark.parametrize("kind", SCALINGS)
def test_what_is_missing_is_not_learned_from_and_goes_through(kind):
    values = np.arange(9.0)
    with_gaps = np.insert(values, [0, 4, 9], np.nan)
    scaling = kind.of(column(with_gaps))
    for name, buffer in kind.of(column(values)).named_buffers():
        assert torch.equal(scaling.get_buffer(name), buffer)
    assert np.isnan(scaled(scaling, [np.nan])).all()


def test_columns_of_one_unit_share_a_deviation_and_keep_their_own_means():
    columns = np.array([[0, 10, 0], [0, 30, 4], [0, 20, np.nan]], np.float32)
    scaling = Standardisation.shared(columns)
    np.testing.assert_allclose(scaling.mean, [0, 20, 2], rtol=1e-6)
    shared = np.sqrt(np.mean([0, np.var([10, 30, 20]), np.var([0, 4])]))
    np.testing.assert_allclose(scaling.scale, [shared] * 3, rtol=1e-6)
    assert Standardisation.shared(np.ones((4, 2), np.float32)).scale.tolist() == [1, 1]
