"""From the name of a source to its data set."""

from __future__ import annotations

from lockstep.errors import InvalidSetting
from train.configuration.configuration import Configuration
from train.configuration.section import did_you_mean
from train.data.built_in import BUILT_IN, built_in
from train.data.dataset import Dataset


def load(source: str, configuration: Configuration) -> Dataset:
    """Read a source and split it: 60 % to train, 20 % to validate, 20 % to test.

    A classification is split so that every part has each class in its share. The same seed gives
    the same parts.

    Args:
        source: one of ``BUILT_IN``.
        configuration: its sections data and columns say what is read and how; its seed decides
            which row goes where.

    Raises:
        InvalidSetting: an unknown source.
    """
    if source in BUILT_IN:
        return built_in(source, configuration.training.seed)
    listed = ", ".join(BUILT_IN)
    raise InvalidSetting(
        f"There is no source {source!r}.{did_you_mean(source, BUILT_IN)} There are: {listed}."
    )
