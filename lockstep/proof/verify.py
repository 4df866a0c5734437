"""Verification: the digests of an artifact are checked, and its claims proved on this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lockstep.artifact.folder import CERTIFICATE, GOLDEN, ONNX, Artifact, open_artifact
from lockstep.artifact.golden import Golden
from lockstep.engine.engine import MODEL_FILES
from lockstep.errors import ParityBroken
from lockstep.proof.certificate import Certificate
from lockstep.proof.load import GoldenBits, check_golden, check_golden_shapes
from lockstep.proof.prove import disproved, prove


class Verification(BaseModel):
    """The result of `lockstep verify`.

    Attributes:
        name: of the model.
        version: its number.
        digest: sha256 of the manifest.
        certificate: of the proof on this machine.
        golden: for each engine, whether its outputs are equal to the recorded ones or only close.
        complaints: a sentence for each failed check; empty if all hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    digest: str
    certificate: Certificate
    golden: dict[str, GoldenBits]
    complaints: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.complaints


def verify(path: Path | str) -> Verification:
    """Verify an artifact: digests of every file, audit, parity, golden rows, invariance.

    Args:
        path: the artifact's folder.

    Raises:
        DigestMismatch: where a file that serving needs is not the sealed one.
        Unreadable: where there is no artifact, or a file of it cannot be read.
    """
    artifact = open_artifact(path)
    sealed = artifact.manifest.files
    # Every artifact must have an ONNX file: if the manifest names none, reading it raises.
    present = [file for file in MODEL_FILES.values() if file == ONNX or file in sealed]
    files = artifact.read_serving_files(CERTIFICATE, GOLDEN, *present)
    Certificate.from_bytes(files[CERTIFICATE])
    golden = Golden.from_bytes(files[GOLDEN])
    check_golden_shapes(artifact, golden)
    models = {file: files[file] for file in present}
    proof = prove(artifact.manifest, models, golden)
    bits, broken = _golden_bits(artifact, golden, proof.golden)
    refusals = [str(refusal) for refusal in disproved(proof.certificate)]
    return Verification(
        name=artifact.manifest.name,
        version=artifact.manifest.version,
        digest=artifact.digest,
        certificate=proof.certificate,
        golden=bits,
        complaints=(*artifact.changed_papers(), *refusals, *broken),
    )


def _golden_bits(
    artifact: Artifact, golden: Golden, measured: Golden
) -> tuple[dict[str, GoldenBits], list[str]]:
    bits: dict[str, GoldenBits] = {}
    broken: list[str] = []
    for engine in MODEL_FILES:
        if engine not in measured.engines:
            continue
        answers = tuple(measured.engines[engine][o.name] for o in artifact.manifest.outputs)
        try:
            bits[engine] = check_golden(artifact, golden, engine, answers)
        except ParityBroken as error:
            broken.append(str(error))
    return bits, broken
