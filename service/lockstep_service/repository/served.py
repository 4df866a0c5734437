"""What the repository holds: names, and the versions of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import Artifact
from lockstep.artifact.manifest import Manifest
from lockstep.proof.load import LoadProof
from lockstep_service.batching.batcher import Batcher


@dataclass(frozen=True, eq=False)
class Served:
    """A version that was proved on this machine and answers; equal to no other.

    Attributes:
        artifact: on disk.
        proof: what was proved when it was loaded.
        batcher: the way to its engine; there is no other.
        row: a golden row, ``[1, ...]``, as an example of what it is asked.
    """

    artifact: Artifact
    proof: LoadProof
    batcher: Batcher
    row: FeatureArray

    @property
    def manifest(self) -> Manifest:
        """What the artifact is."""
        return self.artifact.manifest


@dataclass
class Model:
    """One name of the repository.

    Attributes:
        served: versions that answer, by number.
        refused: the reason, for each version that was refused.
    """

    served: dict[int, Served] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
