import dataclasses
import struct

import pytest

from train.configuration.configuration import Configuration
from train.configuration.training import TrainingConfiguration
from train.curves import Epoch
from train.data.built_in import built_in
from train.fit import fit
from train.report import curve_columns, curve_rows, describe, draw_curves


@pytest.fixture(scope="module", params=["wine", "diabetes"])
def fitted(request):
    training = TrainingConfiguration(epochs=3, learning_rate=0.01)
    return fit(Configuration(training=training), built_in(request.param, 0))


def with_history(fitted, epochs, **changes):
    """The fit as it would be with other curves: training falls, validation turns at epoch 4."""
    history = tuple(
        Epoch(number, 1e-3, 1 / number, 0.5 + abs(number - 4) / 10, 0.9, 0.8, 0.1)
        for number in range(1, epochs + 1)
    )
    return dataclasses.replace(fitted, history=history, **{"best_epoch": 4, **changes})


@pytest.mark.parametrize("parting", [None, 4])
@pytest.mark.parametrize("epochs", [5, 60])
def test_the_curves_are_drawn_as_a_png_of_readable_size(fitted, tmp_path, parting, epochs):
    path = tmp_path / "curves.png"
    draw_curves(with_history(fitted, epochs, parting_epoch=parting), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width >= 1000
    assert height >= 400


def test_the_same_fit_is_drawn_as_the_same_bytes(fitted, tmp_path):
    paths = tmp_path / "one.png", tmp_path / "two.png"
    for path in paths:
        draw_curves(fitted, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_single_epoch_and_losses_of_zero_can_be_drawn(fitted, tmp_path):
    none_left = Epoch(1, 1e-3, 0.0, 0.0, 1.0, 1.0, 0.1)
    done = dataclasses.replace(fitted, history=(none_left,), best_epoch=1, parting_epoch=None)
    draw_curves(done, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_the_description_states_where_the_curves_part_and_the_gap(fitted):
    said = describe(with_history(fitted, 9, parting_epoch=4))
    assert "The curves part at epoch 4" in said
    assert "training loss still fell from 0.2500 to 0.1111" in said
    assert "The best epoch is 4 of 9" in said
    assert "training loss 0.2500, validation loss 0.5000 (gap 0.2500)" in said
    assert f"validation {fitted.score_name} 0.8" in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parting_epoch": None}, "The curves do not part"),
        ({"stopped_early": True}, "stopped early, 25 epochs after the best one"),
        ({"interrupted": True}, "was interrupted"),
        ({}, "ran to its end"),
    ],
)
def test_the_description_states_how_the_training_ended(fitted, changes, sentence):
    assert sentence in describe(with_history(fitted, 9, **changes))


@pytest.mark.parametrize("epochs", [4, 5, 12, 13, 60, 400])
@pytest.mark.parametrize("most", [4, 7, 12])
def test_the_rows_hold_first_last_best_and_parting_epoch_and_are_not_too_many(fitted, epochs, most):
    done = with_history(fitted, epochs, parting_epoch=3)
    rows = curve_rows(done, most)
    numbers = [int(row[0]) for row in rows]
    assert {1, 3, 4, epochs} <= set(numbers)
    assert numbers == sorted(set(numbers))
    assert len(rows) <= most
    assert len(rows) >= min(most, epochs) - 3
    assert {len(row) for row in rows} == {len(curve_columns(done))}


def test_the_rows_mark_the_best_and_the_parting_epoch(fitted):
    apart = {row[0]: row[-1] for row in curve_rows(with_history(fitted, 9, parting_epoch=3))}
    assert (apart["3"], apart["4"], apart["5"]) == ("curves part", "best", "")
    together = {row[0]: row[-1] for row in curve_rows(with_history(fitted, 9, parting_epoch=4))}
    assert together["4"] == "best, curves part"


def test_the_columns_name_the_score(fitted):
    assert f"validation {fitted.score_name}" in curve_columns(fitted)
