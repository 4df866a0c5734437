"""The parameters of the estimators: the settings of a training, flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.network import ActivationName
from lockstep_train.configuration.preprocessing import EmbeddingName, ScalingName, UnknownHandling
from lockstep_train.configuration.training import DecayName, DeviceName, ScheduleName

SECTIONS = ("preprocessing", "network", "training")
LARGEST_SEED = 2**32 - 1


@dataclass(kw_only=True, eq=False, repr=False)
class EstimatorParameters(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Settings of `configuration` by their own names; None is a setting's own default.

    The dataclass writes the signature, in which scikit-learn finds the parameters.

    Args:
        validation_fraction: share of the samples that the fit stops by.
        random_state: decides which samples these are, and every random draw.
    """

    hidden: Sequence[int] | None = None
    dropout: float | Sequence[float] | None = None
    output_dropout: float | None = None
    input_dropout: float | None = None
    embedding_dropout: float | None = None
    activation: ActivationName | None = None
    max_norm: float | None = None
    members: int | None = None
    batch_norm: bool | None = None
    batch_norm_momentum: float | None = None
    batch_norm_eps: float | None = None
    numeric: ScalingName | None = None
    embedding: EmbeddingName | None = None
    bins: int | None = None
    column_width: int | None = None
    one_hot_up_to: int | None = None
    embedding_width: int | None = None
    unknown: UnknownHandling | None = None
    mask_rate: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    decay: DecayName | None = None
    weight_decay: float | None = None
    schedule: ScheduleName | None = None
    gradient_clip: float | None = None
    patience: int | None = None
    average: float | None = None
    threads: int | Literal["auto"] | None = None
    device: DeviceName | None = None
    validation_fraction: float = 0.2
    random_state: int | np.random.RandomState | None = None

    def configuration(self) -> Configuration:
        """The parameters that are set, as settings; the seed is drawn from the random state."""
        sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        settings = {
            setting: section
            for section in SECTIONS
            for setting in type(getattr(Configuration(), section)).model_fields
        }
        for parameter, value in self.get_params(deep=False).items():
            if parameter in settings and parameter != "class_weight" and value is not None:
                sections[settings[parameter]][parameter] = _without_numpy(value)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(LARGEST_SEED, dtype=np.int64)
        sections["training"]["seed"] = int(seed)
        return Configuration.model_validate(sections)


def _without_numpy(value: Any) -> Any:
    """A parameter without numpy's types: grid searches hand them over."""
    if isinstance(value, np.ndarray | list | tuple):
        return tuple(_without_numpy(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value
