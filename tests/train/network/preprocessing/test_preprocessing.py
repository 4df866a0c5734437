import numpy as np
import pytest
import torch

from lockstep.artifact.columns import Column
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.network.preprocessing.preprocessing import Preprocessing
from mixed import dataset_of, mixed_dataset, network_for, numeric_dataset

KINDS = ("numeric", "boolean", "missing", "categorical")


def preprocessing_of(dataset, *, embedding_dropout=0.0, **settings):
    configuration = Configuration.model_validate(
        {"preprocessing": settings, "network": {"embedding_dropout": embedding_dropout}}
    )
    return Preprocessing.of(configuration, dataset)


def test_a_table_of_every_kind_becomes_one_dense_matrix_without_gaps():
    dataset = mixed_dataset()
    preprocessing = preprocessing_of(dataset, one_hot_up_to=3).eval()
    dense = preprocessing(torch.tensor(dataset.train.features))
    assert tuple(preprocessing.parts) == KINDS
    # 4 numbers, 2 booleans, 3 indicators, places of (3 + 1) and (2 + 1) categories, 2 embeddings;
    # one column of each pair misses values too.
    missing = [column.missing_allowed for column in dataset.columns if column.kind != "categorical"]
    few = [c for c in dataset.columns if c.kind == "categorical" and len(c.vocabulary) <= 3]
    places = sum(len(c.vocabulary) + 1 + c.missing_allowed for c in few)
    assert preprocessing.width == 4 + 2 + sum(missing) + places + 2 * 8
    assert dense.shape == (len(dataset.train), preprocessing.width)
    assert torch.isfinite(dense).all()


def test_a_table_without_missing_values_has_no_indicators():
    assert "missing" not in preprocessing_of(mixed_dataset(missing=False)).parts


@pytest.mark.parametrize("kind", ["numeric", "boolean", "categorical"])
def test_a_table_of_one_kind_has_one_part(kind):
    vocabulary = ("a", "b") if kind == "categorical" else None
    columns = (Column(name="x", kind=kind, vocabulary=vocabulary),)
    rows = np.array([[0], [1], [1], [0]], np.float32)
    preprocessing = preprocessing_of(dataset_of(rows, columns))
    assert list(preprocessing.parts) == [kind]
    assert preprocessing(torch.tensor(rows)).shape == (4, preprocessing.width)


def test_only_the_training_split_is_learned_from():
    dataset = numeric_dataset(np.random.default_rng(0).normal(size=(50, 3)))
    before = preprocessing_of(dataset, numeric="quantile", embedding="piecewise_linear")
    dataset.train.features.setflags(write=False)
    object.__setattr__(dataset, "validation", None)
    object.__setattr__(dataset, "test", None)
    after = preprocessing_of(dataset, numeric="quantile", embedding="piecewise_linear")
    for name, buffer in before.named_buffers():
        assert torch.equal(after.get_buffer(name), buffer)


def test_only_masked_codes_and_dropped_embeddings_change_from_pass_to_pass():
    dataset = mixed_dataset()
    features = torch.tensor(dataset.train.features)
    steady = preprocessing_of(dataset, mask_rate=0.0).train()
    assert torch.equal(steady(features), steady(features))
    for settings in ({"mask_rate": 0.2}, {"mask_rate": 0.0, "embedding_dropout": 0.2}):
        shaken = preprocessing_of(dataset, **settings).train()
        assert not torch.equal(shaken(features), shaken(features))
        assert torch.equal(shaken.eval()(features), shaken(features))


@pytest.mark.parametrize("numeric", ["robust", "quantile", "standard"])
@pytest.mark.parametrize("embedding", ["none", "piecewise_linear", "periodic"])
def test_the_largest_numbers_stay_finite_wherever_something_bounds_them(numeric, embedding):
    if (numeric, embedding) == ("standard", "none"):
        pytest.skip("nothing bounds a standardised number")
    dataset = mixed_dataset()
    preprocessing = preprocessing_of(dataset, numeric=numeric, embedding=embedding).eval()
    width = len(dataset.columns)
    far = torch.stack([torch.full((width,), value) for value in (3.4e38, -3.4e38, 1e-40)])
    assert torch.isfinite(preprocessing(far)).all()


def test_what_training_learns_moves_with_the_gradient():
    dataset = mixed_dataset()
    network = network_for(dataset, embedding="periodic", one_hot_up_to=2)
    network.train()(torch.tensor(dataset.train.features)).square().sum().backward()
    learned = dict(network.preprocessing.named_parameters())
    assert sorted(name.rpartition(".")[2] for name in learned) == [
        "bias",
        "frequencies",
        "table",
        "weight",
    ]
    for parameter in learned.values():
        assert parameter.grad.abs().sum() > 0
