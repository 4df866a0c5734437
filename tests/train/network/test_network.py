import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.network import NetworkConfiguration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.network.digest import state_digest
from lockstep_train.network.dropout import Dropout
from lockstep_train.network.member import ACTIVATIONS
from lockstep_train.network.network import Answering, Network
from lockstep_train.network.order import check_order
from lockstep_train.network.preprocessing.numeric import Numeric
from lockstep_train.network.preprocessing.preprocessing import Preprocessing
from lockstep_train.network.preprocessing.standardisation import Standardisation


def network_of(task="classification", outputs=3, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        standardisation = Standardisation(torch.arange(5.0), torch.arange(5.0) + 1)
        nothing = (nn.Identity(), nn.Identity())
        numbers = Numeric(*nothing, standardisation, nn.Identity(), width=5)
        return Network(
            NetworkConfiguration.model_validate({"hidden": (8, 6, 4), **settings}),
            Preprocessing({"numeric": numbers}),
            outputs,
            task,
        )


def blocks_of(network):
    return network.members[0].blocks


def layers_of(block):
    return [type(layer) for layer in block]


def test_a_block_is_linear_batch_norm_activation_dropout():
    network = network_of(dropout=[0.1, 0.2, 0.3], activation="gelu")
    for block in blocks_of(network):
        assert layers_of(block) == [nn.Linear, nn.BatchNorm1d, nn.GELU, Dropout]
    assert [block.dropout.p for block in blocks_of(network)] == [0.1, 0.2, 0.3]
    assert [block.linear.out_features for block in blocks_of(network)] == [8, 6, 4]


def test_the_last_block_has_no_dropout_unless_asked_for():
    assert layers_of(blocks_of(network_of(dropout=0.5))[-1])[-1] is nn.ReLU
    assert layers_of(blocks_of(network_of(dropout=0.5, output_dropout=0.1))[-1])[-1] is Dropout


def test_without_batch_norm_and_dropout_none_is_built():
    network = network_of(batch_norm=False, dropout=0.0)
    for block in blocks_of(network):
        assert layers_of(block) == [nn.Linear, nn.ReLU]
        assert block.linear.bias is not None


def test_batch_norm_has_the_momentum_and_eps_that_were_chosen():
    norm = blocks_of(network_of(batch_norm_momentum=0.3, batch_norm_eps=1e-3))[0].norm
    assert (norm.momentum, norm.eps) == (0.3, 1e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_answers_with_probabilities(activation):
    network = network_of(activation=activation).eval()
    probabilities = Answering(network)(torch.randn(7, 5) * 100)
    assert probabilities.shape == (7, 3)
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(7))
    torch.testing.assert_close(probabilities[:0], Answering(network)(torch.zeros(0, 5)))


def test_input_dropout_zeroes_standardised_features_in_training_only():
    network = network_of(input_dropout=0.5)
    seen = []
    blocks_of(network).register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    features = torch.full((100, 5), 17.0)
    network.train()(features)
    network.eval()(features)
    assert 0.3 < (seen[0] == 0).float().mean() < 0.7
    assert not (seen[1] == 0).any()


def test_the_buffers_know_the_training_split_only():
    dataset = built_in("wine", 0)
    network = Network.of(Configuration(), dataset)
    features = dataset.train.features.astype(np.float64)
    scaling = network.preprocessing.parts["numeric"].scaling
    np.testing.assert_allclose(scaling.mean, features.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaling.scale, features.std(axis=0), rtol=1e-6)
    assert network.members[0].head.out_features == 3


def test_a_regression_answers_in_the_targets_own_units():
    dataset = built_in("diabetes", 0)
    network = Network.of(Configuration(), dataset).eval()
    features = torch.tensor(dataset.test.features)
    standardised, prediction = network(features), Answering(network)(features)
    assert standardised.shape == (1, len(dataset.test), 1)
    assert prediction.shape == (len(dataset.test), 1)
    mean, deviation = dataset.train.targets.mean(), dataset.train.targets.std()
    torch.testing.assert_close(prediction, standardised[0] * float(deviation) + float(mean))


def test_the_outputs_are_those_of_each_member():
    network = network_of(members=3).eval()
    features = torch.randn(7, 5)
    outputs = network(features)
    assert outputs.shape == (3, 7, 3)
    dense = network.preprocessing(features)
    for member, output in zip(network.members, outputs, strict=True):
        assert torch.equal(member(dense), output)


def test_members_begin_apart_and_drop_values_of_their_own():
    network = network_of(members=2, input_dropout=0.5)
    first, second = network.members
    assert not torch.equal(first.head.weight, second.head.weight)
    seen = []
    for member in network.members:
        member.blocks.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network.train()(torch.full((100, 5), 17.0))
    assert not torch.equal(*seen)


def test_the_answer_is_the_average_of_the_members_answers():
    network = network_of(members=3).eval()
    network.answer.temperature.fill_(1.7)
    features = torch.randn(7, 5)
    answers = torch.softmax(network(features) / 1.7, dim=2)
    torch.testing.assert_close(Answering(network)(features), answers.mean(dim=0))


def test_a_regression_averages_predictions():
    network = network_of("regression", 1, members=2).eval()
    features = torch.randn(7, 5)
    torch.testing.assert_close(Answering(network)(features), network(features).mean(dim=0))


def test_the_temperature_is_one_until_it_is_calibrated_and_then_softens_the_answer():
    network = network_of().eval()
    assert network.answer.temperature == 1
    features = torch.randn(7, 5)
    before = Answering(network)(features)
    assert torch.equal(before, torch.softmax(network(features)[0], dim=1))
    network.answer.temperature.fill_(5.0)
    assert (Answering(network)(features).max(dim=1).values < before.max(dim=1).values).all()


@given(
    value=st.floats(-1e6, 1e6, width=32),
    rows=st.integers(2, 50),
    other=st.floats(-100, 100, width=32),
)
def test_a_constant_column_gets_scale_one(value, rows, other):
    columns = np.full((rows, 2), value, np.float32)
    columns[:, 1] = np.linspace(other, other + 1, rows)
    standardisation = Standardisation.of(columns)
    assert standardisation.scale[0] == 1
    assert torch.equal(standardisation(torch.tensor(columns))[:, 0], torch.zeros(rows))


@given(st.integers(0, 2**32 - 1), st.floats(0.015625, 1024, width=32))
def test_standardised_columns_have_mean_zero_and_deviation_one(seed, unit):
    columns = np.random.default_rng(seed).normal(3, unit, (200, 3)).astype(np.float32)
    standardised = Standardisation.of(columns)(torch.tensor(columns)).double()
    assert standardised.mean(dim=0).abs().max() < 1e-3
    assert (standardised.std(dim=0, correction=0) - 1).abs().max() < 1e-3


DROPOUT_FIRST = {
    "directly": nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2)),
    "before an activation": nn.Sequential(nn.Dropout(), nn.ReLU(), nn.BatchNorm1d(2)),
    "at rate 0": nn.Sequential(nn.Dropout(0.0), nn.BatchNorm1d(2)),
    "in a nested sequence": nn.Sequential(
        nn.Sequential(nn.Linear(2, 2), nn.Dropout()), nn.Sequential(nn.BatchNorm1d(2))
    ),
    "of images": nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout2d(), nn.BatchNorm2d(1)),
    "inside another module": nn.ModuleDict(
        {"part": nn.Sequential(nn.AlphaDropout(), nn.BatchNorm1d(2))}
    ),
}
IN_ORDER = {
    "a block": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Dropout()),
    "two blocks": nn.Sequential(
        nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 2), nn.BatchNorm1d(2)
    ),
    "no batch norm": nn.Sequential(nn.Dropout(), nn.Linear(2, 2), nn.ReLU(), nn.Dropout()),
    "no dropout": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
}


@pytest.mark.parametrize("module", DROPOUT_FIRST.values(), ids=DROPOUT_FIRST)
def test_a_dropout_before_a_batch_norm_is_refused_with_the_reason(module):
    with pytest.raises(InvalidSetting, match=r"before the BatchNorm .*variance.*\(Li et al"):
        check_order(module)


@pytest.mark.parametrize("module", IN_ORDER.values(), ids=IN_ORDER)
def test_a_dropout_after_its_batch_norm_is_accepted(module):
    check_order(module)


def test_the_refusal_names_both_layers():
    module = nn.ModuleDict({"part": nn.Sequential(nn.Dropout(), nn.ReLU(), nn.BatchNorm1d(2))})
    with pytest.raises(InvalidSetting, match=r"Dropout part\.0 .* BatchNorm part\.2"):
        check_order(module)


def test_a_network_put_together_in_the_wrong_order_is_refused(monkeypatch):
    wrong = nn.Sequential(nn.Linear(5, 4), nn.Dropout(), nn.BatchNorm1d(4))
    monkeypatch.setattr("lockstep_train.network.member._blocks", lambda *_: [wrong])
    with pytest.raises(InvalidSetting, match="order of a block"):
        network_of()


def test_a_deep_copy_has_the_same_digest():
    network = network_of()
    assert state_digest(copy.deepcopy(network)) == state_digest(network)


CHANGES = {
    "one weight": lambda network: network.members[0].head.weight.data[0, 0].add_(1e-6),
    "a buffer": lambda network: network.preprocessing.parts["numeric"].scaling.mean[0].add_(1),
    "a counter of batches": lambda network: blocks_of(network)[0].norm.num_batches_tracked.add_(1),
    "a type": lambda network: network.members[0].double(),
    "a shape": lambda network: setattr(
        network.members[0].head,
        "weight",
        nn.Parameter(network.members[0].head.weight.data.T.contiguous()),
    ),
    "the temperature": lambda network: network.answer.temperature.fill_(2),
    "the mode": lambda network: network.eval(),
    "the mode of one layer": lambda network: blocks_of(network)[1].dropout.eval(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_sees_every_change_of(change):
    network = network_of()
    before = state_digest(network)
    change(network)
    assert state_digest(network) != before


def test_a_forward_pass_in_training_mode_changes_the_digest_and_one_in_eval_mode_does_not():
    network = network_of().eval()
    before = state_digest(network)
    network(torch.randn(4, 5))
    assert state_digest(network) == before
    network.train()(torch.randn(4, 5))
    assert state_digest(network.eval()) != before
