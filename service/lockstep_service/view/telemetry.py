"""Telemetry: the metrics of an application, for Prometheus."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
    values,
)

from lockstep_service.errors import CannotStart

if TYPE_CHECKING:
    from lockstep.proof.load import LoadProof

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


class Telemetry:
    """The metrics of one application; two applications in a process do not share them.

    Workers share their metrics, and `exposition` covers all workers.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._bound: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self.requests = Counter(
            "lockstep_requests",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "lockstep_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "lockstep_batch_rows",
            "Rows that ran together.",
            ["model", "version"],
            buckets=ROWS,
            registry=self.registry,
        )
        self.run_seconds = Histogram(
            "lockstep_run_seconds",
            "One run of the engine.",
            ["model", "version"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.queue_rows = Gauge(
            "lockstep_queue_rows",
            "Rows that wait for the engine.",
            ["model", "version"],
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.golden_equal = Gauge(
            "lockstep_golden_equal",
            "1 where the golden rows gave the bits of the exporting machine here, else 0.",
            ["model", "version", "engine", "precision"],
            multiprocess_mode="livemin",
            registry=self.registry,
        )
        self.tile_rows = Gauge(
            "lockstep_tile_rows",
            "Rows of the tile that the engine needs here; 0 where it needs none.",
            ["model", "version", "engine"],
            multiprocess_mode="livemax",
            registry=self.registry,
        )

    def count(self, route: str, status: int) -> None:
        """Count an answer without a duration: that to bytes which are not a request."""
        self.requests.labels(route, str(status)).inc()

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count and time one answer; the labels of a route and status are looked up once."""
        bound = self._bound.get((route, status))
        if bound is None:
            labels = self.requests.labels(route, str(status)), self.seconds.labels(route)
            bound = self._bound[route, status] = labels
        bound[0].inc()
        bound[1].observe(seconds)

    def record_load(self, model: str, version: int, precision: str, proof: LoadProof) -> None:
        """Record the proof of a version that was loaded."""
        labels = (model, str(version), proof.engine)
        self.golden_equal.labels(*labels, precision).set(proof.golden == "equal")
        self.tile_rows.labels(*labels).set(proof.tile or 0)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        if values.ValueClass is values.MutexValue:
            return generate_latest(self.registry)
        everywhere = CollectorRegistry()
        multiprocess.MultiProcessCollector(everywhere)  # type: ignore[no-untyped-call]
        return generate_latest(everywhere)


@contextmanager
def shared_metrics() -> Iterator[Path]:
    """A private folder in which processes that are started in this context share their metrics.

    The folder is in ``/dev/shm`` where possible, because the root file system may be read-only.

    Raises:
        CannotStart: where no folder can be written.
    """
    in_memory = os.access(SHARED_MEMORY, os.W_OK | os.X_OK)
    try:
        folder = tempfile.TemporaryDirectory(
            prefix="lockstep-", dir=SHARED_MEMORY if in_memory else None, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise CannotStart(
            f"Several workers need a folder to count in, however: {error}; make /dev/shm or the "
            f"folder for temporary files writable, or serve with one worker."
        ) from error
    with folder as path:
        # prometheus_client takes the folder from the environment only. putenv sets it for child
        # processes, and leaves os.environ of this process, which has no metrics, as it was.
        os.putenv("PROMETHEUS_MULTIPROC_DIR", path)
        try:
            yield Path(path)
        finally:
            os.unsetenv("PROMETHEUS_MULTIPROC_DIR")


def count_as(worker: int) -> None:
    """Share the metrics that are made from now on, in files named by the worker's number.

    A restarted worker goes on counting in the same files, so no count is lost and the files do not
    accumulate. The public interface of prometheus_client names files by process id, and would leave
    the files of every dead process.
    """
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]


def forget(worker: int, folder: Path) -> None:
    """Remove the gauges of a dead worker from the metrics; its counters stay."""
    multiprocess.mark_process_dead(worker, str(folder))  # type: ignore[no-untyped-call]


class RunMetrics:
    """The metrics of the runs of one version, with their labels looked up once."""

    def __init__(self, telemetry: Telemetry, model: str, version: int) -> None:
        labels = (model, str(version))
        self._rows = telemetry.batch_rows.labels(*labels)
        self._seconds = telemetry.run_seconds.labels(*labels)
        self._queued = telemetry.queue_rows.labels(*labels)

    def ran(self, rows: int, seconds: float) -> None:
        """Count one run of the engine."""
        self._rows.observe(rows)
        self._seconds.observe(seconds)

    def queued(self, rows: int) -> None:
        """Set the number of rows that wait."""
        self._queued.set(rows)
