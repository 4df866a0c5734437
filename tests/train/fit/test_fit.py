import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lockstep.artifact.columns import Column
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import evaluate, loss_and_score
from lockstep_train.fit.fit import Diverged, fit
from lockstep_train.fit.optimiser.lean import LeanAdam
from lockstep_train.fit.randomness import Batches, RandomStream
from lockstep_train.fit.tensors import SplitTensors, curve_sample_size
from lockstep_train.network.digest import state_digest


def configured(network=None, **training):
    return Configuration.model_validate(
        {"network": {"hidden": (16, 8), **(network or {})}, "training": {"epochs": 4, **training}}
    )


@pytest.fixture(scope="module")
def wine():
    return built_in("wine", 0)


@pytest.fixture(scope="module")
def diabetes():
    return built_in("diabetes", 0)


def random_dataset(train_rows):
    draw = np.random.default_rng(0)

    def rows(count):
        return Split(
            draw.normal(size=(count, 3)).astype(np.float32), draw.integers(0, 2, count, np.int64)
        )

    return Dataset(
        name="random",
        task="classification",
        columns=tuple(Column(name=name) for name in "abc"),
        classes=("no", "yes"),
        target_name="answer",
        train=rows(train_rows),
        validation=rows(5),
        test=rows(5),
    )


REGULARISED = {"dropout": 0.3, "input_dropout": 0.1, "output_dropout": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(wine, threads):
    configuration = configured(REGULARISED, seed=5, threads=threads)
    once = fit(configuration, wine)
    torch.rand(17)
    again = fit(configuration, wine)
    assert state_digest(once.network) == state_digest(again.network)
    unclocked = [
        [dataclasses.replace(epoch, seconds=0) for epoch in done.history] for done in (once, again)
    ]
    assert unclocked[0] == unclocked[1]


def test_whoever_draws_random_numbers_while_training_changes_nothing(wine):
    configuration = configured(REGULARISED)
    quiet = fit(configuration, wine)
    disturbed = fit(configuration, wine, on_epoch=lambda _epoch: torch.manual_seed(99))
    assert state_digest(quiet.network) == state_digest(disturbed.network)


def test_another_seed_gives_other_weights(wine):
    one, other = (fit(configured(seed=seed), wine) for seed in (1, 2))
    assert state_digest(one.network) != state_digest(other.network)


def test_the_callers_random_state_and_threads_are_left_as_they_were(wine):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    fit(configured(REGULARISED, threads=threads + 1, epochs=1), wine)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_the_network_has_the_weights_of_its_best_epoch_in_eval_mode(name, request):
    dataset = request.getfixturevalue(name)
    done = fit(configured(epochs=12, learning_rate=0.05, schedule="constant"), dataset)
    lowest = min(epoch.validation_loss for epoch in done.history)
    assert done.best.validation_loss == lowest
    rows = SplitTensors.of(dataset.validation, done.network)
    loss, score = loss_and_score(done.network, rows.features, rows.targets)
    assert (loss, score) == (done.best.validation_loss, done.best.validation_score)
    assert not any(module.training for module in done.network.modules())


def test_training_stops_when_the_patience_ends(wine):
    restless = configured(epochs=500, patience=3, learning_rate=0.05, schedule="constant")
    done = fit(restless, wine)
    assert done.stopped_early
    assert len(done.history) == done.best_epoch + 3 < 500


def test_without_patience_every_epoch_is_trained(wine):
    done = fit(configured(epochs=30, patience=0, learning_rate=0.05), wine)
    assert len(done.history) == 30
    assert not done.stopped_early


def test_each_epoch_is_told_when_it_is_over(wine):
    told = []
    done = fit(configured(), wine, on_epoch=told.append)
    assert tuple(told) == done.history
    assert [epoch.number for epoch in told] == [1, 2, 3, 4]
    assert all(epoch.seconds > 0 for epoch in told)
    assert sum(epoch.seconds for epoch in told) < done.seconds


def interrupt_after(epochs):
    def on_epoch(epoch):
        if epoch.number == epochs:
            raise KeyboardInterrupt

    return on_epoch


def test_ctrl_c_keeps_the_best_epoch_until_then(wine):
    whole = fit(configured(epochs=2, schedule="constant"), wine)
    done = fit(configured(epochs=9, schedule="constant"), wine, on_epoch=interrupt_after(2))
    assert done.interrupted
    assert not done.stopped_early
    assert len(done.history) == 2
    assert state_digest(done.network) == state_digest(whole.network)


def test_ctrl_c_before_the_first_epoch_is_over_ends_everything(wine, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lockstep_train.fit.fit.train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(configured(), wine)


def test_a_training_that_diverges_is_refused_with_the_epoch(diabetes):
    # Each step multiplies the weights by 1 − 10 · 100.
    wild = configured(learning_rate=10, weight_decay=100, schedule="constant", epochs=50)
    with pytest.raises(Diverged, match=r"diverged at epoch \d+: the loss is no finite number"):
        fit(wild, diabetes)


@given(rows=st.integers(2, 200), batch_size=st.integers(2, 64), seed=st.integers(0, 9))
def test_an_epoch_takes_every_row_once_and_no_batch_norm_sees_a_single_row(rows, batch_size, seed):
    batches = Batches(rows, batch_size, seed=seed, fewest=2)
    cut = list(batches)
    assert len(cut) == len(batches)
    assert sorted(torch.cat(cut).tolist()) == list(range(rows))
    assert all(2 <= len(batch) <= batch_size + 1 for batch in cut)
    assert list(map(len, batches)) == list(map(len, cut))


@pytest.mark.parametrize(
    ("rows", "fewest", "sizes"),
    [(9, 1, [4, 4, 1]), (9, 2, [4, 5]), (10, 2, [4, 4, 2]), (10, 3, [4, 6]), (3, 4, [3])],
)
def test_a_last_batch_that_is_too_small_joins_the_one_before(rows, fewest, sizes):
    assert [len(batch) for batch in Batches(rows, 4, seed=0, fewest=fewest)] == sizes


@pytest.mark.parametrize(("batch_norm", "sizes"), [(True, [5, 6]), (False, [5, 5, 1])])
def test_a_last_row_stays_alone_without_a_batch_norm(batch_norm, sizes, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "lockstep_train.fit.fit.train_step",
        lambda _, batch, size: seen.append((len(batch), size)) or torch.zeros(()),
    )
    configuration = configured({"batch_norm": batch_norm}, batch_size=5, epochs=1)
    fit(configuration, random_dataset(11))
    assert seen == [(size, size) for size in sizes]


def test_every_epoch_has_an_order_of_its_own():
    batches = Batches(50, 50, seed=0)
    assert not torch.equal(next(iter(batches)), next(iter(batches)))


@pytest.mark.parametrize("rows", [2, 3, 5, 9])
def test_any_number_of_rows_from_two_on_can_be_trained_on(rows):
    done = fit(configured(batch_size=4), random_dataset(rows))
    assert np.isfinite(done.best.validation_loss)


def test_one_training_row_is_refused_before_anything_starts():
    with pytest.raises(InvalidSetting, match="at least 2"):
        random_dataset(1)


def weights_after_no_gradient(dataset, **settings):
    """The weights of a network whose loss has next to no gradient: what is left is the decay."""
    configuration = configured(
        schedule="constant",
        gradient_clip=1e-12,
        weight_decay=50.0,
        epochs=1,
        batch_size=64,
        **settings,
    )
    return fit(configuration, dataset).network


def test_decoupled_decay_leaves_batch_norm_and_biases_alone(wine):
    network = weights_after_no_gradient(wine, learning_rate=1e-3, decay="decoupled")
    start = weights_after_no_gradient(wine, learning_rate=1e-9, decay="decoupled")
    steps = len(Batches(len(wine.train), 64, seed=0, fewest=2))
    for name, parameter in network.named_parameters():
        before = start.get_parameter(name)
        shrunk = before * (1 - 1e-3 * 50) ** steps if parameter.ndim > 1 else before
        torch.testing.assert_close(parameter, shrunk, rtol=0.02, atol=3e-3, msg=name)


def test_l2_pulls_at_every_parameter(wine):
    network = weights_after_no_gradient(wine, learning_rate=1e-2, decay="l2")
    assert (network.members[0].blocks[0].norm.weight < 0.99).all()


@pytest.fixture
def gradient_norms(monkeypatch):
    """The norm of each step's gradient, as the optimiser meets it."""
    norms, step = [], LeanAdam.step

    def record(optimizer):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        return step(optimizer)

    record.hooked = True
    monkeypatch.setattr(LeanAdam, "step", record)
    return norms


def test_the_gradient_is_bounded_by_its_norm(wine, gradient_norms):
    fit(configured(gradient_clip=0.01, epochs=1), wine)
    assert max(gradient_norms) == pytest.approx(0.01, rel=1e-3)
    gradient_norms.clear()
    fit(configured(gradient_clip=0, epochs=1), wine)
    assert max(gradient_norms) > 0.1


def test_the_curves_are_plain_cross_entropy_whatever_the_smoothing(wine):
    smooth = fit(configured(label_smoothing=0.3), wine)
    measured = evaluate(smooth.network, wine.validation)
    assert smooth.best.validation_loss == pytest.approx(measured.log_loss)
    plain = fit(configured(label_smoothing=0.0), wine)
    assert smooth.history[-1].train_loss != plain.history[-1].train_loss


def test_a_stream_of_random_numbers_continues_where_it_stopped():
    stream, whole = RandomStream(3), torch.rand(6, generator=torch.Generator().manual_seed(3))
    with stream.drawn():
        first = torch.rand(2)
    torch.rand(5)
    with stream.drawn():
        rest = torch.rand(4)
    assert torch.equal(torch.cat([first, rest]), whole)


@pytest.mark.slow
def test_digits_are_learned_with_the_defaults():
    accuracies = []
    for seed in range(2):
        dataset = built_in("digits", seed)
        done = fit(Configuration.model_validate({"training": {"seed": seed}}), dataset)
        accuracies.append(evaluate(done.network, dataset.test).accuracy)
    assert np.mean(accuracies) >= 0.975


@pytest.mark.parametrize(
    ("rows", "measured"),
    [(100, 100), (5_000, 5_000), (12_000, 5_000), (30_000, 12_000), (1_000_000, 20_000)],
)
def test_a_large_training_split_is_measured_by_some_of_its_rows(rows, measured):
    assert min(rows, curve_sample_size(rows)) == measured


def test_a_sample_is_drawn_by_the_seed_and_keeps_row_target_and_weight_together():
    numbers = torch.arange(50)
    rows = SplitTensors(numbers[:, None].float(), numbers, numbers.double())
    sample, same, other = (rows.sample(20, seed=seed) for seed in (1, 1, 2))
    assert len(set(sample.targets.tolist())) == 20
    assert torch.equal(sample.features[:, 0].long(), sample.targets)
    assert torch.equal(sample.weights.long(), sample.targets)
    assert torch.equal(sample.targets, same.targets)
    assert not torch.equal(sample.targets, other.targets)
    assert rows.sample(50, seed=1) is rows
