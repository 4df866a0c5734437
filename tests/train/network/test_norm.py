import torch
from hypothesis import given
from hypothesis import strategies as st

from lockstep_train.network.norm import clip_norms
from mixed import mixed_dataset, network_for


def unit_norms(network):
    return [
        torch.linalg.vector_norm(block.linear.weight, dim=1)
        for member in network.members
        for block in member.blocks
    ]


@given(limit=st.floats(0.01, 10))
def test_no_unit_exceeds_the_limit_and_shorter_ones_are_left_alone(limit):
    network = network_for(mixed_dataset(), network={"members": 2})
    before = [block.linear.weight.clone() for m in network.members for block in m.blocks]
    clip_norms(network, limit)
    after = [block.linear.weight for m in network.members for block in m.blocks]
    assert all((norms <= limit * (1 + 1e-5)).all() for norms in unit_norms(network))
    for old, new in zip(before, after, strict=True):
        norms = torch.linalg.vector_norm(old, dim=1, keepdim=True)
        torch.testing.assert_close(new, old * (limit / norms).clamp(max=1))
        short = (norms <= limit)[:, 0]
        assert torch.equal(new[short], old[short])


def test_heads_and_embeddings_are_not_bounded():
    network = network_for(mixed_dataset(), one_hot_up_to=0)
    free = [
        network.members[0].head.weight,
        network.preprocessing.parts["categorical"].parts[0].table,
    ]
    before = [weight.clone() for weight in free]
    clip_norms(network, 1e-3)
    for old, new in zip(before, free, strict=True):
        assert torch.equal(old, new)


def test_a_unit_without_weights_stays_without():
    network = network_for(mixed_dataset())
    linear = network.members[0].blocks[0].linear
    linear.weight.data.zero_()
    clip_norms(network, 1.0)
    assert not linear.weight.any()


def test_a_bounded_network_still_learns():
    network = network_for(mixed_dataset())
    features = torch.tensor(mixed_dataset().train.features)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    network.train()(features).square().sum().backward()
    optimizer.step()
    clip_norms(network, 0.5)
    assert all(norms.max() <= 0.5 * (1 + 1e-5) for norms in unit_norms(network))
    assert network.members[0].blocks[0].linear.weight.requires_grad
