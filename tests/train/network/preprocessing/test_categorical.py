import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lockstep.artifact.columns import Column
from lockstep_train.configuration.preprocessing import PreprocessingConfiguration
from lockstep_train.network.preprocessing.categorical import (
    Categorical,
    CategoryEmbedding,
    Codes,
    OneHot,
)

NAN = math.nan
ODD = [-1.0, 3.0, 99.0, 1.7, -0.5, 1e30, -1e30, math.inf, -math.inf]


def column(size, *, missing=True, unknown=True, name="c"):
    return Column(
        name=name,
        kind="categorical",
        vocabulary=tuple(f"word {k}" for k in range(size)),
        missing_allowed=missing,
        unknown_allowed=unknown,
    )


def safe(columns, codes, *, mask_rate=0.0):
    return Codes(columns, mask_rate).eval()(torch.tensor(codes))


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("unknown", [True, False])
def test_what_is_no_code_of_the_vocabulary_is_unknown(value, unknown):
    assert safe([column(3, unknown=unknown)], [[value]]).item() == 3


def test_known_codes_stay_and_missing_has_a_code_of_its_own():
    made = safe([column(3), column(2)], [[0.0, 1.0], [2.0, NAN], [NAN, 0.0], [-0.0, 1.0]])
    assert torch.equal(made, torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 0.0], [0.0, 1.0]]))


def test_missing_where_training_missed_nothing_is_unknown():
    assert safe([column(3, missing=False), column(3)], [[NAN, NAN]]).tolist() == [[3, 4]]
    assert safe([column(3, missing=False)], [[NAN]]).tolist() == [[3]]


@given(st.floats(width=32), st.integers(0, 30), st.booleans())
def test_every_number_becomes_a_code_that_the_tables_hold(value, size, missing):
    code = safe([column(size, missing=missing)], [[value]]).item()
    assert code in range(size + 2)
    assert code == value or code >= size


def test_known_categories_are_masked_at_the_rate_in_training_only():
    columns = [column(3), column(3, unknown=False)]
    codes = Codes(columns, mask_rate=0.25)
    given_codes = torch.ones(20_000, 2)
    given_codes[:2000] = NAN
    torch.manual_seed(0)
    made = codes.train()(given_codes)
    assert (made[:2000] == 4).all()
    assert (made[2000:, 0] == 3).float().mean() == pytest.approx(0.25, abs=0.015)
    assert (made[:, 1] != 3).all()
    assert torch.equal(codes.eval()(given_codes)[2000:], given_codes[2000:])


def test_one_hot_has_a_place_for_each_code_that_training_can_show():
    columns = [column(2), column(3, missing=False, unknown=False), column(1, unknown=False)]
    one_hot = OneHot(columns)
    assert one_hot.width == 4 + 3 + 2
    made = one_hot(torch.tensor([[0.0, 2.0, 0.0], [3.0, 3.0, 2.0]]))
    expected = [[1, 0, 0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0, 0, 0, 1]]
    assert torch.equal(made, torch.tensor(expected, dtype=torch.float32))


def test_columns_of_one_table_do_not_share_vectors():
    embedding = CategoryEmbedding([column(3), column(2)], column_width=4, dropout=0.0)
    assert embedding.table.shape == (5 + 4, 4)
    made = embedding(torch.tensor([[1.0, 1.0]])).reshape(2, 4)
    assert torch.equal(made, embedding.table[[1, 6]])


def test_unknown_and_missing_begin_as_zero_and_learn_when_they_are_shown():
    embedding = CategoryEmbedding([column(3)], column_width=4, dropout=0.0)
    made = embedding(torch.tensor([[3.0], [4.0]]))
    assert not made.any()
    made.sum().backward()
    assert embedding.table.grad[3:].all()
    assert not embedding.table.grad[:3].any()


def test_embeddings_are_dropped_in_training_only():
    embedding = CategoryEmbedding([column(3)], column_width=500, dropout=0.5)
    codes = torch.ones(4, 1)
    assert 0.4 < (embedding.train()(codes) == 0).float().mean() < 0.6
    assert embedding.eval()(codes).all()


@pytest.mark.parametrize(("up_to", "width"), [(0, 6 + 6), (2, 4 + 6), (3, 4 + 5)])
def test_the_cardinality_decides_what_a_column_becomes(up_to, width):
    columns = (column(3, name="a"), Column(name="n"), column(2, name="b"))
    configuration = PreprocessingConfiguration(one_hot_up_to=up_to, embedding_width=6)
    part = Categorical(configuration, columns, embedding_dropout=0.0).eval()
    assert part.width == width
    assert part(torch.zeros(5, 3)).shape == (5, width)


def test_one_hot_columns_stand_before_embedded_ones_in_their_own_order():
    columns = (column(5, name="a"), column(2, name="b"), column(6, name="c"), column(1, name="d"))
    configuration = PreprocessingConfiguration(one_hot_up_to=2, embedding_width=2)
    part = Categorical(configuration, columns, embedding_dropout=0.0).eval()
    one_hot, embedding = part.parts
    made = part(torch.tensor([[4.0, 1.0, 5.0, 0.0]]))[0]
    assert made[:7].tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert one_hot.width == 7
    assert torch.equal(made[7:], embedding.table[[4, 7 + 5]].reshape(-1))
