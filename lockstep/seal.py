"""Sealing: prove model files, and only then write the artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lockstep.artifact.folder import CERTIFICATE, GOLDEN, Artifact, next_version, write_artifact
from lockstep.artifact.golden import Golden
from lockstep.artifact.manifest import Manifest, check_version
from lockstep.errors import AlreadyExists
from lockstep.proof.certificate import Certificate
from lockstep.proof.parity import Parity
from lockstep.proof.prove import disproved, prove

Papers = Callable[[Manifest, Certificate], Mapping[str, bytes]]


def seal(
    models: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    golden: Golden,
    *,
    papers: Papers,
    version: int | None = None,
    difference: Parity | None = None,
) -> tuple[Artifact, Certificate]:
    """Prove model files and write them as an artifact, whole or not at all.

    Args:
        models: the repository.
        manifest: what the files are; its version is set here.
        files: ``model.onnx`` and, where there is one, ``model.ts``.
        golden: inputs and the reference's outputs.
        papers: makes the files for people (card, report) from the final manifest and certificate.
        version: its number; the next one if None.
        difference: between the files' answers and those of the fitted network, in exact precision.

    Returns:
        The artifact and its certificate.

    Raises:
        Disproved: the first claim that the figures contradict; then nothing is written.
        AlreadyExists: where the requested version exists.
        InvalidSetting: where the version is below 1.
        Unreadable: where a model file cannot be read, or the repository cannot be written.
    """
    if version is not None:
        check_version(version)
    proof = prove(manifest, files, golden)
    certificate = proof.certificate.model_copy(update={"difference": difference})
    for refusal in disproved(certificate):
        raise refusal
    proved = {
        **files,
        CERTIFICATE: certificate.to_bytes(),
        GOLDEN: proof.golden.to_bytes(),
    }
    number = 0
    while True:
        # At least one more than the last try: a file in the way is not counted as a version.
        number = (
            max(number + 1, next_version(models, manifest.name)) if version is None else version
        )
        numbered = manifest.model_copy(update={"version": number})
        everything = {**proved, **papers(numbered, certificate)}
        try:
            return write_artifact(models, numbered, everything), certificate
        except AlreadyExists:
            if version is not None:
                raise  # otherwise another process took the number meanwhile: try the next one
