import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from lockstep.artifact.columns import describe_columns
from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.evaluate.calibrate import HIGHEST, LOWEST, calibrate, calibration_figures
from lockstep_train.evaluate.evaluate import evaluate, log_probabilities, outputs, temperature_of
from lockstep_train.network.network import Network


def dataset_of(rows, classes=3, *, separable=False, seed=0):
    """Classes that overlap, so that some rows cannot be answered right."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, 3 * rows)
    spread = 1e-3 if separable else 1.0
    features = np.eye(classes)[targets] + generator.normal(0, spread, (3 * rows, classes))
    features = features.astype(np.float32)
    parts = [
        Split(features[i * rows : (i + 1) * rows], targets[i * rows : (i + 1) * rows])
        for i in range(3)
    ]
    return Dataset(
        name="overlapping",
        task="classification",
        columns=describe_columns([f"column_{i}" for i in range(classes)], parts[0].features),
        classes=tuple(range(classes)),
        target_name="class",
        train=parts[0],
        validation=parts[1],
        test=parts[2],
    )


def network_of(dataset, *, sharpness=1.0, members=1):
    """A network whose logits are its features, as surely as it is told."""
    configuration = Configuration.model_validate(
        {"network": {"hidden": [4], "members": members, "batch_norm": False}}
    )
    network = Network.of(configuration, dataset)
    for seed, member in enumerate(network.members):
        noise = np.random.default_rng(seed).normal(0, 0.1)
        bent = torch.eye(len(dataset.classes)) * sharpness + noise
        member.forward = lambda dense, bent=bent: dense @ bent
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("sharpness", [0.2, 5.0, 20.0])
@pytest.mark.parametrize("members", [1, 3])
def test_a_network_that_is_too_sure_or_unsure_of_itself_is_brought_back(sharpness, members):
    dataset = dataset_of(600)
    network = network_of(dataset, sharpness=sharpness, members=members)
    unsettled = evaluate(network, dataset.test)
    found = calibrate(network, dataset.validation)
    settled = evaluate(network, dataset.test)
    assert temperature_of(network).item() == found.temperature
    assert (found.temperature > 1) == (sharpness > 1)
    assert found.after.log_loss < found.before.log_loss
    assert found.after.ece < found.before.ece
    assert settled.log_loss < unsettled.log_loss
    assert settled.ece < unsettled.ece
    assert found.note.startswith(f"Calibrated: a temperature of {found.temperature:.3f}")


def test_the_temperature_is_the_best_of_all():
    dataset = dataset_of(400)
    network = network_of(dataset, sharpness=3.0)
    found = calibrate(network, dataset.validation)
    logits = outputs(network, torch.tensor(dataset.validation.features))[0].numpy().astype(float)
    rows = np.arange(len(logits))
    losses = {
        temperature: -log_softmax(logits / temperature, axis=1)[
            rows, dataset.validation.targets
        ].mean()
        for temperature in np.geomspace(LOWEST, HIGHEST, 2000)
    }
    assert found.after.log_loss <= min(losses.values()) + 1e-9
    assert found.temperature == pytest.approx(min(losses, key=losses.get), rel=5e-3)


def test_the_most_probable_class_of_one_member_stays_what_it_was():
    dataset = dataset_of(300)
    network = network_of(dataset, sharpness=4.0)
    before = log_probabilities(network, dataset.test).argmax(axis=1)
    calibrate(network, dataset.validation)
    assert np.array_equal(log_probabilities(network, dataset.test).argmax(axis=1), before)


def test_the_same_network_and_rows_give_the_same_temperature_however_often():
    dataset = dataset_of(300)
    network = network_of(dataset, sharpness=4.0, members=2)
    assert calibrate(network, dataset.validation) == calibrate(network, dataset.validation)


def test_the_weights_of_the_rows_count():
    dataset = dataset_of(400)
    network = network_of(dataset, sharpness=4.0)
    split = dataset.validation
    counts = np.random.default_rng(0).integers(0, 3, len(split))
    weighted = Split(split.features, split.targets, counts.astype(np.float32))
    repeated = Split(np.repeat(split.features, counts, axis=0), np.repeat(split.targets, counts))
    temperatures = [calibrate(network, rows).temperature for rows in (weighted, repeated)]
    assert temperatures[0] == pytest.approx(temperatures[1], rel=1e-4)
    assert temperatures[0] != calibrate(network, split).temperature


@pytest.mark.parametrize(
    ("dataset", "sharpness", "reason"),
    [
        (dataset_of(99), 4.0, "at least 100 validation rows, and there are 99"),
        (dataset_of(200, separable=True), 4.0, "falls down to a temperature of 0.0625"),
    ],
    ids=["too few rows", "every row right"],
)
def test_it_is_left_alone_with_the_reason_where_nothing_can_be_told(dataset, sharpness, reason):
    network = network_of(dataset, sharpness=sharpness)
    found = calibrate(network, dataset.validation)
    assert found.temperature == temperature_of(network).item() == 1
    assert found.before == found.after
    assert reason in found.note


def test_it_is_left_alone_where_no_temperature_lowers_the_loss():
    dataset = dataset_of(300)
    network = network_of(dataset, sharpness=2.0)
    best = calibrate(network, dataset.validation).temperature
    settled = network_of(dataset, sharpness=2.0)
    for member in settled.members:
        sharp = member.forward
        member.forward = lambda dense, sharp=sharp: sharp(dense) / best
    found = calibrate(settled, dataset.validation)
    assert found.temperature == 1
    assert "no temperature lowers the log loss of the 300 validation rows" in found.note


def test_figures_at_another_temperature_leave_the_networks_own_alone():
    dataset = dataset_of(100)
    network = network_of(dataset)
    calibration_figures(network, dataset.test, 7.0)
    assert temperature_of(network).item() == 1


def test_a_regression_is_refused():
    dataset = dataset_of(100)
    number = Dataset(
        name="numbers",
        task="regression",
        columns=dataset.columns,
        classes=None,
        target_name="number",
        **{
            part: Split(split.features, split.targets.astype(np.float32))
            for part, split in (("train", dataset.train), ("validation", dataset.validation))
        },
        test=Split(dataset.test.features, dataset.test.targets.astype(np.float32)),
    )
    network = Network.of(Configuration(), number)
    with pytest.raises(InvalidSetting, match="got a regression"):
        calibrate(network, number.validation)
