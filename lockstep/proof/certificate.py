"""The certificate: the claims proved about an artifact, with the figures and the machine."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lockstep.artifact.manifest import first_problem
from lockstep.errors import Unreadable
from lockstep.proof.audit.finding import AuditReport
from lockstep.proof.behaviour import BatchInvariance, Determinism
from lockstep.proof.exact import Exactness
from lockstep.proof.parity import Parity
from lockstep.proof.rows import RowVerdict

PACKAGES = ("lockstep", "onnx", "onnxruntime", "torch", "numpy")
VECTOR_FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "amx_tile",
    "asimd",
    "sve",
)


class Machine(BaseModel):
    """The machine on which an artifact was proved.

    Attributes:
        processor: its name.
        architecture: e.g. ``x86_64``.
        vector_extensions: the processor's extensions that change how kernels split sums.
        system: the operating system.
        threads: intra-op threads of the engines.
        versions: of the libraries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    processor: str
    architecture: str
    vector_extensions: tuple[str, ...]
    system: str
    threads: int
    versions: dict[str, str]


class EngineProof(BaseModel):
    """Measurements of one engine.

    Attributes:
        determinism: the same rows, run many times.
        determinism_unoptimised: the same with the library's optimisations off, for onnx.
        batch_invariance: of runs without a tile.
        tile: rows of the tile that is needed; None if runs without a tile are invariant.
        tile_invariance: of runs in that tile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    determinism: Determinism
    determinism_unoptimised: Determinism | None = None
    batch_invariance: BatchInvariance
    tile: int | None = None
    tile_invariance: BatchInvariance | None = None


class Certificate(BaseModel):
    """The claims proved about an artifact, with their figures.

    Attributes:
        format: version of this file's layout.
        created: time of the proof, UTC.
        machine: on which it was proved.
        audit: the reports by model file.
        rows: row independence, read off the ONNX graph, for each output.
        parity: between each two forms of the network.
        engines: measured behaviour, by engine.
        exactness: read off the ONNX graph of an artifact that claims exact precision; else None.
        difference: between an artifact in exact precision and the fitted network. The export
            measures it once on the test split, since the fitted network is not kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    created: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    machine: Machine
    audit: dict[str, AuditReport]
    rows: tuple[RowVerdict, ...]
    parity: tuple[Parity, ...]
    engines: dict[str, EngineProof]
    exactness: Exactness | None = None
    difference: Parity | None = None

    def to_bytes(self) -> bytes:
        """The file's content: indented UTF-8 JSON that ends in a newline."""
        return (
            json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a certificate.

        Raises:
            Unreadable: where it is not JSON, or not a certificate of this format.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise Unreadable(
                f"certificate.json is not a certificate: {first_problem(error)}."
            ) from error


def this_machine(threads: int) -> Machine:
    """The machine that this process runs on.

    Args:
        threads: intra-op threads of the engines.
    """
    processor, flags = _processor()
    return Machine(
        processor=processor,
        architecture=platform.machine(),
        vector_extensions=tuple(flag for flag in VECTOR_FLAGS if flag in flags),
        system=platform.system(),
        threads=threads,
        versions=library_versions(),
    )


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that the answers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> tuple[str, set[str]]:
    """Name and flags of the processor; the flags are known on Linux only."""
    cpuinfo = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, set((fields.get("flags") or fields.get("Features") or "").split())
