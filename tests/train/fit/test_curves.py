import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep_train.fit.curves import Epoch, parting_epoch


def curves(train, validation):
    return [
        Epoch(number, 0.1, train_loss, validation_loss, 0.0, 0.0, 1.0)
        for number, (train_loss, validation_loss) in enumerate(
            zip(train, validation, strict=True), start=1
        )
    ]


FALLING = [0.9, 0.7, 0.5, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(
    ("train", "validation", "parting"),
    [
        pytest.param(FALLING, [0.9, 0.8, 0.7, 0.8, 0.9, 1.0], 3, id="validation turns"),
        pytest.param(FALLING, [0.9, 0.8, 0.7, 0.7, 0.7, 0.7], 3, id="validation stands still"),
        pytest.param(FALLING, [0.9, 0.8, 0.9, 0.7, 0.9, 0.9], 4, id="a better epoch comes later"),
        pytest.param(FALLING, [0.9, 0.8, 0.7, 0.698, 0.696, 0.694], 3, id="within the tolerance"),
        pytest.param(FALLING, FALLING, None, id="together to the end"),
        pytest.param(
            [0.9, 0.7, 0.5, 0.5, 0.498, 0.5], [0.9, 0.8, 0.7, 0.8, 0.9, 1.0], None, id="both stand"
        ),
        pytest.param(FALLING, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 1, id="from the start"),
        pytest.param([0.5], [0.5], None, id="a single epoch"),
        pytest.param([], [], None, id="none"),
    ],
)
def test_the_curves_part_where_only_the_training_loss_still_falls(train, validation, parting):
    assert parting_epoch(curves(train, validation), tolerance=0.01) == parting


def test_steps_within_the_tolerance_add_up():
    train = [1 - step / 10 for step in range(10)]
    validation = [0.994**step for step in range(10)]
    assert parting_epoch(curves(train, validation), tolerance=0.01) == 9


losses = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=30)


@given(losses, st.floats(0, 1))
def test_after_the_parting_epoch_validation_never_improves_by_more_than_the_tolerance(
    points, tolerance
):
    history = curves(*zip(*points, strict=True))
    parting = parting_epoch(history, tolerance)
    if parting is None:
        return
    parted, after = history[parting - 1], history[parting:]
    assert all(epoch.validation_loss >= parted.validation_loss * (1 - tolerance) for epoch in after)
    assert min(epoch.train_loss for epoch in after) < parted.train_loss * (1 - tolerance)


def test_a_memorised_training_split_parts_too_however_small_its_loss():
    train = [1.0, 0.01, 0.0004, 0.0002, 0.0001]
    assert parting_epoch(curves(train, [1.0, 0.2, 0.1, 0.15, 0.2]), tolerance=0.01) == 3


def test_the_gap_is_validation_less_training_loss():
    assert curves([0.25], [0.75])[0].gap == 0.5
