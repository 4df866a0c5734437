"""Loading the repository: every artifact of the models folder is proved before the first answer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lockstep.artifact.folder import MANIFEST, Artifact, open_artifact, version_numbers
from lockstep.errors import Disproved, LockstepError
from lockstep.proof.load import prove_at_load
from lockstep_service.batching.answers import judged
from lockstep_service.batching.batcher import Batcher
from lockstep_service.batching.run_cost import measure_cost
from lockstep_service.errors import CannotStart
from lockstep_service.repository.repository import Opening, Repository
from lockstep_service.repository.served import Model, Served
from lockstep_service.settings import Settings
from lockstep_service.view.log import log
from lockstep_service.view.telemetry import RunMetrics, Telemetry


def load_repository(settings: Settings, telemetry: Telemetry) -> Repository:
    """Prove every artifact in the models folder, and serve those whose proof holds.

    Args:
        settings: of the service.
        telemetry: takes the facts of the proofs, and the metrics of the runs.

    Raises:
        CannotStart: where no artifact can be served, the folder cannot be read, or the default
            model does not exist.
    """
    models: dict[str, Model] = {}
    for name, version, opening in _artifacts(settings.models):
        model = models.setdefault(name, Model())
        try:
            model.served[version] = _load(opening(), name, version, settings, telemetry)
        except LockstepError as error:
            model.refused[version] = str(error)
            log.error("model refused", model=name, version=version, reason=str(error))
        except Exception as error:  # noqa: BLE001 - a fault of one artifact must not stop the others
            model.refused[version] = (
                f"It could not be loaded ({type(error).__name__}); see the log."
            )
            log.error("model refused", model=name, version=version, exc_info=error)
    if not any(model.served for model in models.values()):
        raise CannotStart(_nothing_to_serve(settings.models, models))
    if settings.default_model is not None and settings.default_model not in models:
        raise CannotStart(
            f"The default model {settings.default_model!r} is not in {settings.models}, which "
            f"holds {', '.join(models)}."
        )
    return Repository(models, settings.default_model)


def _artifacts(folder: Path) -> Iterator[tuple[str, int, Opening]]:
    """Name, version and opening function of every artifact; the folder may itself be one."""
    try:
        if (folder / MANIFEST).exists():
            yield _identity(folder)
            return
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise CannotStart(
            f"The models folder {folder} cannot be read: {error.strerror}."
        ) from error
    for entry in entries:
        if not entry.name.startswith("."):
            for version in _versions(entry):
                yield entry.name, version, partial(open_artifact, entry / str(version))


def _versions(entry: Path) -> list[int]:
    try:
        return sorted(set(version_numbers(entry)))
    except OSError as error:  # such as lost+found of a mounted volume
        log.warning("folder passed over", folder=str(entry), reason=error.strerror)
        return []


def _identity(folder: Path) -> tuple[str, int, Opening]:
    """Name, version and opening function of a single artifact, by its manifest."""
    try:
        artifact = open_artifact(folder)
    except LockstepError:  # opened again at load, where it is refused with the reason
        return folder.name, 1, partial(open_artifact, folder)
    return artifact.manifest.name, artifact.manifest.version, lambda: artifact


def _load(
    artifact: Artifact, name: str, version: int, settings: Settings, telemetry: Telemetry
) -> Served:
    manifest = artifact.manifest
    if (manifest.name, manifest.version) != (name, version):
        raise Disproved(
            f"{artifact.path} holds version {manifest.version} of {manifest.name}; a folder must "
            f"bear the name and version of its artifact."
        )
    engine, proof, golden = prove_at_load(
        artifact,
        settings.engine,
        threads=settings.threads,
        max_batch_rows=settings.max_batch_rows,
        budget_s=settings.proof_budget_s,
    )
    for complaint in artifact.changed_papers():
        log.warning("paper changed", model=name, version=version, reason=complaint)
    telemetry.record_load(name, version, manifest.precision, proof)
    invariance = proof.batch_invariance
    run = judged(engine, manifest.task)
    row = golden.features[:1].copy()  # a view would keep all golden rows in memory
    cost = measure_cost(run, row, settings.max_batch_rows)
    log.info(
        "model proved",
        model=name,
        version=version,
        digest=artifact.digest,
        engine=proof.engine,
        golden=proof.golden,
        tile=proof.tile,
        batch_sizes=f"{invariance.tried} of {invariance.asked}",
        seconds=proof.seconds,
        run_ms_1_row=round(1e3 * cost.of(1), 3),
        run_ms_largest=round(1e3 * cost.of(settings.max_batch_rows), 3),
    )
    batcher = Batcher(
        run,
        RunMetrics(telemetry, name, version),
        max_batch_rows=settings.max_batch_rows,
        max_queue_rows=settings.max_queue_rows,
        cost=cost,
    )
    return Served(artifact, proof, batcher, row)


def _nothing_to_serve(folder: Path, models: dict[str, Model]) -> str:
    reasons = [reason for model in models.values() for reason in model.refused.values()]
    if reasons:
        return f"Nothing in {folder} can be served: {' '.join(reasons)}"
    return (
        f"There is nothing to serve in {folder}: expected an artifact, or a repository "
        f"NAME/VERSION/; make one with `lockstep train digits`."
    )
