"""The content of the repository: models, and their versions."""

from __future__ import annotations

from dataclasses import dataclass, field

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import Artifact
from lockstep.artifact.manifest import Manifest
from lockstep.proof.load import LoadProof
from lockstep_service.batching.batcher import Batcher


@dataclass(frozen=True, eq=False)
class Served:
    """A version that was proved on this machine and answers; compared by identity.

    Attributes:
        artifact: on disk.
        proof: what was proved when the artifact was loaded.
        batcher: runs rows; nothing else reaches the engine.
        row: the first golden row, float32 ``[1, ...]``, as an example of an instance.
    """

    artifact: Artifact
    proof: LoadProof
    batcher: Batcher
    row: FeatureArray

    @property
    def manifest(self) -> Manifest:
        """The manifest of the artifact."""
        return self.artifact.manifest


@dataclass
class Model:
    """The versions of one model.

    Attributes:
        served: versions that answer, by number.
        refused: reasons of the versions that were refused, by number.
    """

    served: dict[int, Served] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
