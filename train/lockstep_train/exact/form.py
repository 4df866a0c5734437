"""The exact form of a fitted network, and how far it is from the float32 network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lockstep.errors import Disproved
from lockstep.proof.parity import Parity, compare
from lockstep_train.data.dataset import Dataset
from lockstep_train.exact.network import ExactNetwork, Saturation, answers, saturation
from lockstep_train.network.network import Answering, Network

MOST_SATURATED = 1e-4
"""Share of the numbers of a split that may be cut off at the end of their grid."""


class Inexact(Disproved):
    """The exact form of a network strays too far from the network that was fitted."""


@dataclass(frozen=True)
class ExactForm:
    """An exact network, and what was measured of it.

    Attributes:
        network: the module, in eval mode.
        saturation: by split.
        difference: of its answers from those of the float32 network, on the rows of the test split
            in which nothing is cut off.
    """

    network: ExactNetwork
    saturation: dict[str, Saturation]
    difference: Parity

    def as_dict(self) -> dict[str, Any]:
        """The facts that travel in the manifest."""
        return {
            "saturation": {split: asdict(counted) for split, counted in self.saturation.items()}
        }


def exact_form(network: Network, dataset: Dataset) -> ExactForm:
    """Bring a fitted network into exact precision.

    Args:
        network: fitted, on the processor and in eval mode; is not changed.
        dataset: the grids are fitted to its training split.

    Raises:
        Inexact: too many numbers of the training or the validation split do not fit on their
            grids, or an answer to the test split is too far from the float32 network's.
    """
    exact = ExactNetwork(network, dataset.train.features)
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    found = {name: saturation(exact, split.features) for name, split in splits.items()}
    counted = {name: share for name, (share, _) in found.items()}
    for name, share in counted.items():
        if name != "test" and share.rate > MOST_SATURATED:
            raise Inexact(
                f"Of the numbers in the exact network, {share.rate:.2g} were cut off at the end of "
                f"their grid on the {name} split, more than {MOST_SATURATED:g}: its rows lie far "
                f"outside those of training. Split the rows anew, or bound outliers by "
                f'preprocessing.numeric = "robust".'
            )
    rows = dataset.test.features[~found["test"][1]]
    if not len(rows):
        raise Inexact(
            f"Of the {len(dataset.test)} rows of the test split none lies within the grids of the "
            "exact network: they are far outside those of training, and there is none by which it "
            "could be compared with the float32 network."
        )
    pair = answers(Answering(network).eval(), rows), answers(exact, rows)
    difference = compare("float32", "exact", "answer", pair, dataset.task)
    if not difference.holds:
        raise Inexact(
            f"The exact network is up to {difference.max_abs:.3g} away from the float32 network "
            f"on the test split, more than {difference.bound:.3g}."
        )
    return ExactForm(exact, counted, difference)
