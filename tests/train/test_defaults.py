"""What is left open is decided by the data's size and kind; what was given stays."""

import numpy as np
import pytest

from lockstep.artifact.columns import Column
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset, Split
from lockstep_train.defaults import LARGE_ROWS, MANY_ROWS, WIDE_COLUMNS, settle_defaults


def dataset_of(rows, columns=3, *, regression=False):
    def split(count):
        targets = np.zeros(count, np.float32) if regression else np.zeros(count, np.int64)
        return Split(np.zeros((count, columns), np.float32), targets)

    return Dataset(
        name="zeros",
        task="regression" if regression else "classification",
        columns=tuple(Column(name=f"c{j}") for j in range(columns)),
        classes=None if regression else ("no", "yes"),
        target_name="answer",
        train=split(rows),
        validation=split(2),
        test=split(2),
    )


def test_a_few_rows_of_classes_keep_the_defaults_that_the_settings_show():
    assert settle_defaults(Configuration(), dataset_of(MANY_ROWS - 1)) == Configuration()


def test_many_rows_are_spread_into_bins_and_answered_by_several_members():
    settled = settle_defaults(Configuration(), dataset_of(MANY_ROWS))
    assert settled.preprocessing.embedding == "piecewise_linear"
    assert settled.preprocessing.column_width > 0
    assert settled.network.members > 1


def test_more_rows_make_more_bins_and_larger_batches():
    some, many = (
        settle_defaults(Configuration(), dataset_of(rows)) for rows in (MANY_ROWS, LARGE_ROWS)
    )
    assert some.preprocessing.bins < many.preprocessing.bins
    assert some.training.batch_size < many.training.batch_size


def test_wide_rows_are_not_spread():
    settled = settle_defaults(Configuration(), dataset_of(MANY_ROWS, WIDE_COLUMNS))
    assert settled.preprocessing.embedding == "none"
    assert settled.preprocessing.numeric == "shared"


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("columns", [3, WIDE_COLUMNS])
@pytest.mark.parametrize("rows", [10, MANY_ROWS, LARGE_ROWS])
def test_what_was_given_is_never_changed(rows, columns, regression):
    given = {
        "preprocessing": {"numeric": "quantile", "embedding": "none"},
        "network": {"hidden": [7], "members": 3, "dropout": 0.05},
        "training": {"epochs": 5, "decay": "l2", "batch_size": 99},
    }
    settled = settle_defaults(
        Configuration.model_validate(given), dataset_of(rows, columns, regression=regression)
    )
    for section, settings in given.items():
        for name, value in settings.items():
            found = getattr(getattr(settled, section), name)
            assert found == (tuple(value) if isinstance(value, list) else value)
    assert settled.training.weight_decay < 0.01  # what goes with l2


def test_one_block_gets_no_dropout_before_the_head_unasked():
    given = Configuration.model_validate({"network": {"hidden": [64]}})
    for columns in (3, WIDE_COLUMNS):
        settled = settle_defaults(given, dataset_of(MANY_ROWS, columns, regression=True))
        assert settled.network.block_dropout == (0,)
    assert settle_defaults(given, dataset_of(20, regression=True)).network.block_dropout == (0,)


def test_what_was_settled_is_settled():
    dataset = dataset_of(LARGE_ROWS)
    once = settle_defaults(Configuration(), dataset)
    assert settle_defaults(once, dataset) == once
