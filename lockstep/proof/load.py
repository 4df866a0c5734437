"""The proof at load: the service runs it on its own machine before it reports ready."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from lockstep.artifact.folder import CERTIFICATE, GOLDEN, ONNX, Artifact
from lockstep.artifact.golden import Golden, outliers
from lockstep.artifact.manifest import Manifest
from lockstep.engine.engine import MODEL_FILES, Engine, EngineName, Outputs, open_engine
from lockstep.engine.tile import TiledEngine
from lockstep.errors import Disproved, ParityBroken, RowMixing, Unreadable, Unrepeatable
from lockstep.proof.audit.onnx import audit_onnx, read_onnx
from lockstep.proof.behaviour import (
    BatchInvariance,
    Determinism,
    check_batch_invariance,
    check_determinism,
    find_tile,
    same_bits,
)
from lockstep.proof.certificate import Certificate
from lockstep.proof.exact import exactness
from lockstep.proof.parity import compare
from lockstep.proof.prove import (
    audit_file,
    refused_by_audit,
    refused_by_exactness,
    refused_by_rows,
)
from lockstep.proof.rows import row_independence

DETERMINISM_RUNS = 20
SIZES_IN_ORDER = 32

GoldenBits = Literal["equal", "close"]


class LoadProof(BaseModel):
    """The proof of one engine on this machine.

    Attributes:
        engine: which engine.
        golden: ``equal`` if the golden rows gave the bits that this engine gave at export, else
            ``close``: within the bound of parity.
        determinism: of repeated runs of the golden rows.
        batch_invariance: of the engine as it serves, in its tile if it has one.
        tile: rows of the tile; None if the engine is invariant without one.
        seconds: duration of the proof.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineName
    golden: GoldenBits
    determinism: Determinism
    batch_invariance: BatchInvariance
    tile: int | None
    seconds: float


class Proved(NamedTuple):
    """The result of a successful proof at load; the bytes of the files are freed.

    Attributes:
        engine: in a tile if it needs one.
        proof: the figures.
        golden: the golden rows.
    """

    engine: Engine
    proof: LoadProof
    golden: Golden


def prove_at_load(
    artifact: Artifact,
    engine_name: EngineName,
    *,
    threads: int,
    max_batch_rows: int,
    budget_s: float,
) -> Proved:
    """Check an artifact's digests, audit it, and measure the engine that will serve it.

    Every file that serving needs is read once, so the audited bytes are those that are served.

    Args:
        artifact: its manifest matches its digest already.
        engine_name: the engine that will serve.
        threads: intra-op threads of the engine.
        max_batch_rows: the largest batch that the engine will be given.
        budget_s: seconds of measuring after which no further batch size is started. The first sizes
            and the largest are tried regardless of time.

    Raises:
        NotFound: where the artifact holds no file for that engine.
        DigestMismatch: where a file is not the sealed one.
        Disproved: where anything contradicts inference mode; the subclass says what.
        Unreadable: where a file cannot be read.
        EngineUnavailable: where the engine's library is not installed.
    """
    begin = time.monotonic()
    plain, golden = _open(artifact, engine_name, threads)
    determinism = check_determinism(plain, golden.features, DETERMINISM_RUNS)
    if not determinism.holds:
        raise Unrepeatable(
            f"The {engine_name} engine gave two answers to the same golden rows; export the "
            f"network in eval mode."
        )
    engine, measured = _lock(plain, artifact, golden, max_batch_rows, budget_s)
    if not measured.holds:
        raise RowMixing(
            f"With the {engine_name} engine a row's answer depends on its neighbours: "
            f"{measured.counterexample}."
        )
    proof = LoadProof(
        engine=engine_name,
        golden=check_golden(artifact, golden, engine_name, engine.run(golden.features)),
        determinism=determinism,
        batch_invariance=measured,
        tile=engine.tile if isinstance(engine, TiledEngine) else None,
        seconds=round(time.monotonic() - begin, 3),
    )
    return Proved(engine, proof, golden)


def _open(artifact: Artifact, engine: EngineName, threads: int) -> tuple[Engine, Golden]:
    """Read, audit and open the files; their bytes are freed before the measurements."""
    manifest = artifact.manifest
    model = MODEL_FILES[engine]
    graphs = {ONNX} if manifest.precision == "exact" else set()
    files = artifact.read_serving_files(CERTIFICATE, GOLDEN, *{model, *graphs})
    _check_reading(manifest, files, model)
    golden = Golden.from_bytes(files[GOLDEN])
    Certificate.from_bytes(files[CERTIFICATE])
    check_golden_shapes(artifact, golden)
    return open_engine(engine, files[model], manifest.outputs, threads=threads), golden


def _check_reading(manifest: Manifest, files: Mapping[str, bytes], model: str) -> None:
    """Audit the file that the engine will run, and check the claims about its graph."""
    graph = read_onnx(files[ONNX], source=ONNX) if ONNX in files else None
    refusals: list[Disproved] = []
    if model != ONNX:
        refusals += refused_by_audit(model, audit_file(model, files[model]))
    elif graph is not None:
        refusals += refused_by_audit(model, audit_onnx(graph))
        refusals += refused_by_rows(row_independence(graph))
    if graph is not None and manifest.precision == "exact":
        refusals += refused_by_exactness(exactness(graph))
    if refusals:
        raise refusals[0]


def check_golden_shapes(artifact: Artifact, golden: Golden) -> None:
    """Refuse golden rows that do not belong to the manifest.

    Raises:
        Unreadable: where inputs or outputs differ from the manifest's.
    """
    names = {output.name for output in artifact.manifest.outputs}
    shape = artifact.manifest.instance_shape
    rows = len(golden.features)
    fits = golden.features.dtype == np.float32 and rows > 0 and golden.features.shape[1:] == shape
    fits = fits and set(golden.reference) == names
    fits = fits and all(
        golden.reference[output.name].shape == (rows, *output.shape[1:])
        for output in artifact.manifest.outputs
    )
    if not fits:
        raise Unreadable(
            f"{artifact.path / GOLDEN} does not fit the manifest's inputs and outputs."
        )


def _lock(
    plain: Engine, artifact: Artifact, golden: Golden, max_batch_rows: int, budget_s: float
) -> tuple[Engine, BatchInvariance]:
    """The engine as it is if it is batch-invariant here, else in a tile that holds."""
    far = outliers(artifact.manifest.columns, golden.features)[:SIZES_IN_ORDER]
    measured = check_batch_invariance(
        plain,
        golden.features,
        far,
        _sizes(max_batch_rows),
        budget_s=budget_s,
        always=SIZES_IN_ORDER + 1,
    )
    if measured.holds or not measured.rounding_only:
        return plain, measured
    return find_tile(plain, golden.features, far, max_batch_rows)


def _sizes(max_batch_rows: int) -> list[int]:
    """Every size: the small ones, the largest, then the rest in random order, as a sample."""
    first = list(range(1, min(SIZES_IN_ORDER, max_batch_rows) + 1))
    rest = list(range(SIZES_IN_ORDER + 1, max_batch_rows + 1))
    random.Random(0).shuffle(rest)  # noqa: S311 - a sample, no secret
    return [*first, *sorted(rest, key=lambda size: size != max_batch_rows)]


def check_golden(
    artifact: Artifact, golden: Golden, engine: EngineName, answers: Outputs
) -> GoldenBits:
    """Compare an engine's outputs for the golden rows with the recorded ones.

    Args:
        artifact: whose golden rows they are.
        golden: the rows.
        engine: the engine that ran them.
        answers: its outputs in the manifest's order.

    Returns:
        ``equal`` if the bits are those that this engine gave at export, else ``close``.

    Raises:
        ParityBroken: where an output is farther from the reference than the bound allows.
    """
    manifest = artifact.manifest
    recorded = golden.engines.get(engine, {})
    bits: GoldenBits = "equal"
    for output, answer in zip(manifest.outputs, answers, strict=True):
        pair = (golden.reference[output.name], answer)
        parity = compare("reference", engine, output.name, pair, manifest.task, manifest.precision)
        if not parity.holds:
            raise ParityBroken(
                f"The {engine} engine is {parity.max_abs:.3g} away from the golden rows in "
                f"{output.name}, more than {parity.bound:.3g}; export the network again."
            )
        own = recorded.get(output.name)
        same = own is not None and (
            bool(same_bits(own, answer).all())
            if answer.dtype != object
            else bool(np.array_equal(own, answer.astype(np.str_)))
        )
        bits = bits if same else "close"
    return bits
