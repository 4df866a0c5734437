"""The whole proof of an artifact's files, for export, `lockstep verify` and import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.folder import ONNX, TORCHSCRIPT
from lockstep.artifact.golden import Golden, outliers
from lockstep.artifact.manifest import Manifest
from lockstep.engine.engine import MODEL_FILES, Engine, EngineName, Outputs, open_engine
from lockstep.errors import (
    Disproved,
    EngineUnavailable,
    ParityBroken,
    RowMixing,
    TrainingMode,
    Unreadable,
    Unrepeatable,
)
from lockstep.proof.audit.finding import AuditReport
from lockstep.proof.audit.onnx import audit_onnx, read_onnx
from lockstep.proof.behaviour import (
    BatchInvariance,
    check_batch_invariance,
    check_determinism,
    find_tile,
)
from lockstep.proof.certificate import Certificate, EngineProof, this_machine
from lockstep.proof.exact import Exactness, exactness
from lockstep.proof.parity import Parity, compare
from lockstep.proof.rows import RowVerdict, row_independence

DETERMINISM_RUNS = 100
LARGER_BATCH_SIZES = (65, 100, 127, 128, 256)
DEFAULT_MAX_BATCH_ROWS = 256


@dataclass(frozen=True)
class Proof:
    """A certificate, and the golden rows with each engine's own outputs on this machine."""

    certificate: Certificate
    golden: Golden


def batch_sizes(max_batch_rows: int) -> tuple[int, ...]:
    """Every size up to 64, the sizes at which kernels change, and the largest that is allowed."""
    sizes = {*range(1, 65), *LARGER_BATCH_SIZES, max_batch_rows}
    return tuple(sorted(sizes))


def prove(
    manifest: Manifest,
    models: Mapping[str, bytes],
    golden: Golden,
) -> Proof:
    """Prove model files: audit, row independence, exactness, parity, behaviour.

    The engines take one thread, and batches of at most `DEFAULT_MAX_BATCH_ROWS` rows. A claim that
    fails is recorded in the certificate and not raised: see :func:`disproved`.

    Args:
        manifest: what the files claim to be.
        models: ``model.onnx`` and, where there is one, ``model.ts``, which is skipped if torch is
            not installed.
        golden: inputs and the reference's outputs.

    Returns:
        The certificate, and the golden rows with the outputs of each engine.

    Raises:
        Unreadable: where a model file cannot be read.
        EngineFailure: where an engine cannot run the golden rows.
    """
    graph = read_onnx(models[ONNX], source=ONNX)
    audit = {ONNX: audit_onnx(graph)}
    rows = row_independence(graph)
    engines: dict[str, EngineProof] = {}
    answers: dict[str, Outputs] = {}
    far = outliers(manifest.columns, golden.features)[:32]
    for name, engine in _engines(manifest, models):
        if name == "torchscript":
            audit[TORCHSCRIPT] = audit_file(TORCHSCRIPT, models[TORCHSCRIPT])
        proof, locked = _prove_engine(engine, golden.features, far)
        engines[name] = proof
        answers[name] = locked.run(golden.features)
    plain = open_engine("onnx", models[ONNX], manifest.outputs, optimised=False)
    unoptimised = check_determinism(plain, golden.features, DETERMINISM_RUNS)
    engines["onnx"] = engines["onnx"].model_copy(update={"determinism_unoptimised": unoptimised})
    forms = {**answers, "onnx unoptimised": plain.run(golden.features)}
    certificate = Certificate(
        machine=this_machine(1),
        audit=audit,
        rows=rows,
        parity=tuple(_parities(manifest, golden, forms)),
        engines=engines,
        exactness=exactness(graph) if manifest.precision == "exact" else None,
    )
    return Proof(certificate, replace(golden, engines=_by_name(manifest, answers)))


def audit_file(file: str, data: bytes) -> AuditReport:
    """Audit a model file's bytes; torch is imported only for a TorchScript file.

    Loading TorchScript can run code of the file: the bytes must be our own, or match a trusted
    digest. For other files use :func:`lockstep.proof.confined.audit.audit_confined`.

    Args:
        file: its name in messages; a name that ends in ``.onnx`` is read as ONNX.
        data: the whole file.

    Raises:
        Unreadable: where the file cannot be read.
        EngineUnavailable: where it is TorchScript and torch is not installed.
    """
    if file.lower().endswith(".onnx"):
        return audit_onnx(read_onnx(data, source=file))
    try:
        from lockstep.engine.torchscript import load_module  # noqa: PLC0415 - torch on demand
        from lockstep.proof.audit.torchscript import audit_torchscript  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise torch_missing(file) from error
    try:
        return audit_torchscript(load_module(data))
    except Unreadable as error:
        raise Unreadable(f"{file}: {error}") from error


def torch_missing(file: str) -> EngineUnavailable:
    """The error that asks for torch to be installed."""
    return EngineUnavailable(
        f"Reading {file} needs torch, which is not installed; install lockstep[torchscript]."
    )


def _engines(
    manifest: Manifest, models: Mapping[str, bytes]
) -> Iterator[tuple[EngineName, Engine]]:
    for name, file in MODEL_FILES.items():
        if file not in models:
            continue
        try:
            engine = open_engine(name, models[file], manifest.outputs)
        except EngineUnavailable:
            continue  # only its digest is checked; the certificate lists the engines that ran
        yield name, engine


def _prove_engine(
    engine: Engine, rows: FeatureArray, far: FeatureArray
) -> tuple[EngineProof, Engine]:
    determinism = check_determinism(engine, rows, DETERMINISM_RUNS)
    plain = check_batch_invariance(engine, rows, far, batch_sizes(DEFAULT_MAX_BATCH_ROWS))
    if plain.holds or not plain.rounding_only or not determinism.holds:
        return EngineProof(determinism=determinism, batch_invariance=plain), engine
    tiled, measured = find_tile(engine, rows, far, DEFAULT_MAX_BATCH_ROWS)
    proof = EngineProof(
        determinism=determinism,
        batch_invariance=plain,
        tile=tiled.tile,
        tile_invariance=measured,
    )
    return proof, tiled


def _parities(manifest: Manifest, golden: Golden, forms: Mapping[str, Outputs]) -> Iterator[Parity]:
    """Compare each form with the reference, and each engine with the others."""
    reference_name = "eager" if manifest.origin == "trained" else "onnx unoptimised"
    names = [output.name for output in manifest.outputs]
    reference = tuple(golden.reference[name] for name in names)
    compared = {f"{reference_name} (recorded)": reference, **forms}
    if manifest.origin == "trained":
        compared = {"eager": reference, **forms}
    pairs = [(a, b) for i, a in enumerate(compared) for b in list(compared)[i + 1 :]]
    for left, right in pairs:
        for i, name in enumerate(names):
            answers = compared[left][i], compared[right][i]
            yield compare(left, right, name, answers, manifest.task, manifest.precision)


def _by_name(manifest: Manifest, answers: Mapping[str, Outputs]) -> dict[str, dict[str, Any]]:
    names = [output.name for output in manifest.outputs]
    return {engine: dict(zip(names, rows, strict=True)) for engine, rows in answers.items()}


def disproved(certificate: Certificate) -> Iterator[Disproved]:
    """An error for every claim that the certificate's figures contradict, worst first."""
    for file, report in certificate.audit.items():
        yield from refused_by_audit(file, report)
    yield from refused_by_rows(certificate.rows)
    yield from refused_by_exactness(certificate.exactness)
    for engine, proof in certificate.engines.items():
        yield from _refused_behaviour(engine, proof)
    for parity in certificate.parity:
        if not parity.holds:
            yield ParityBroken(
                f"{parity.left} and {parity.right} differ by {parity.max_abs:.3g} in "
                f"{parity.output}, more than {parity.bound:.3g}; export the network again."
            )


def refused_by_audit(file: str, report: AuditReport) -> Iterator[TrainingMode]:
    """An error for each finding of an audit."""
    for finding in report.findings:
        word = "is in training mode" if finding.kind == "training" else "cannot be decided"
        yield TrainingMode(f"{file} {word} at {finding}")


def refused_by_rows(verdicts: tuple[RowVerdict, ...]) -> Iterator[RowMixing]:
    """An error for each output that mixes rows."""
    for verdict in verdicts:
        if verdict.verdict == "mixing":
            yield RowMixing(
                f"Expected each row of {verdict.output} to depend on its own row of the input "
                f"only. {verdict.reason} Export the model so that rows stay apart."
            )


def refused_by_exactness(exactness: Exactness | None) -> Iterator[Disproved]:
    """An error if the graph is not exact by construction."""
    if exactness is not None and exactness.verdict != "exact":
        yield Disproved(
            f"The manifest claims exact precision, and {ONNX} does not hold it. {exactness.reason} "
            f"Export the network again."
        )


def _refused_behaviour(engine: str, proof: EngineProof) -> Iterator[Disproved]:
    plain = proof.determinism_unoptimised
    if not proof.determinism.holds or (plain is not None and not plain.holds):
        when = "" if not proof.determinism.holds else " with its optimisations off"
        yield Unrepeatable(
            f"The {engine} engine{when} gave two answers to the same rows; the network is in "
            f"training mode or draws random numbers: export it in eval mode."
        )
    measured: BatchInvariance = proof.tile_invariance or proof.batch_invariance
    if not measured.holds and proof.determinism.holds:
        yield RowMixing(
            f"With the {engine} engine a row's answer depends on its neighbours: "
            f"{measured.counterexample}."
        )
