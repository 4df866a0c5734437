"""Telemetry: JSON lines on stdout, and Prometheus metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from lockstep.proof.load import LoadProof

log: structlog.stdlib.BoundLogger = structlog.get_logger("lockstep")

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


def configure_logging(level: str) -> None:
    """Send every log line of the process to stdout as JSON.

    Args:
        level: least level that is written.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # What it says of start and stop, the service says itself.
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))


class Telemetry:
    """The metrics of one application; two applications in a process do not share them."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
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
            registry=self.registry,
        )
        self.golden_equal = Gauge(
            "lockstep_golden_equal",
            "1 where the golden rows gave the bits of the exporting machine here, else 0.",
            ["model", "version", "engine", "precision"],
            registry=self.registry,
        )
        self.tile_rows = Gauge(
            "lockstep_tile_rows",
            "Rows of the tile that the engine needs here; 0 where it needs none.",
            ["model", "version", "engine"],
            registry=self.registry,
        )

    def record_load(self, model: str, version: int, precision: str, proof: LoadProof) -> None:
        """Record what was proved when a model was loaded."""
        labels = (model, str(version), proof.engine)
        self.golden_equal.labels(*labels, precision).set(proof.golden == "equal")
        self.tile_rows.labels(*labels).set(proof.tile or 0)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class RunMetrics:
    """The metrics of one model's runs, with their labels looked up once."""

    def __init__(self, telemetry: Telemetry, model: str, version: int) -> None:
        labels = (model, str(version))
        self._rows = telemetry.batch_rows.labels(*labels)
        self._seconds = telemetry.run_seconds.labels(*labels)
        self._queued = telemetry.queue_rows.labels(*labels)

    @contextmanager
    def run(self, rows: int) -> Iterator[None]:
        """Time one run of the engine."""
        begin = perf_counter()
        yield
        self._seconds.observe(perf_counter() - begin)
        self._rows.observe(rows)

    def queued(self, rows: int) -> None:
        """Tell how many rows wait."""
        self._queued.set(rows)
