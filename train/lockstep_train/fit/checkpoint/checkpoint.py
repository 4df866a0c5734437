"""A checkpoint: everything that decides how a fit goes on, in one file, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from lockstep.artifact.whole import write_file
from lockstep.errors import InvalidSetting, NotFound, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.digest import data_digest
from lockstep_train.fit.checkpoint.container import from_bytes, to_bytes
from lockstep_train.fit.device.device import Device

FILE = "checkpoint"
SECONDS_BETWEEN = 5.0
"""Seconds after which the next epoch's end is written again: short epochs are not held up."""

_FORMAT = "lockstep checkpoint 1"
_DIGEST_BYTES = 64


class Stateful(Protocol):
    """A part of a fit that can say where it is, and go on from there."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, words, and containers of these."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        ...


class Checkpoint:
    """The file in which a fit is kept while it goes on.

    Its first 64 bytes are the digest of the rest. To read it runs nothing that it holds
    (`fit.checkpoint.container`).

    Args:
        folder: where it lies; made where it is not there.
        origin: what the fit comes from (`origin_of`); a fit of another origin is not continued.
        parts: everything that decides how the fit goes on.
        device: of whose processes the first one writes, and each one reads.
    """

    def __init__(
        self,
        folder: Path,
        origin: Mapping[str, str],
        parts: Mapping[str, Stateful],
        device: Device,
    ) -> None:
        self.path = folder / FILE
        self._origin = dict(origin)
        self._parts = parts
        self._device = device
        self._written = -math.inf

    def keep(self, *, over: bool) -> None:
        """Write where the fit is, if the last time is long enough ago, or if the fit is over.

        Raises:
            InvalidSetting: the folder cannot be written.
        """
        due = over or time.monotonic() - self._written >= SECONDS_BETWEEN
        if not self._device.agreed(due):
            return
        state = {name: part.state_dict() for name, part in self._parts.items()}
        if self._device.leads:
            self._write(state)
        self._written = time.monotonic()

    def resume(self) -> None:
        """Bring every part to where it was when the file was written.

        Raises:
            NotFound: there is none.
            Unreadable: the file is not, byte for byte, one that was written here.
            InvalidSetting: the fit that was interrupted had another origin.
        """
        state = self._read()
        for name, part in self._parts.items():
            part.load_state_dict(state[name])

    def _write(self, state: Mapping[str, Any]) -> None:
        content = to_bytes({"format": _FORMAT, "origin": self._origin, "state": dict(state)})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self.path, (hashlib.sha256(content).hexdigest().encode(), content))
        except OSError as error:
            raise InvalidSetting(
                f"The checkpoint {self.path} cannot be written: {error.strerror or error}; make "
                "room there, or name another folder."
            ) from error

    def _read(self) -> dict[str, Any]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            raise NotFound(
                f"There is no checkpoint {self.path} to resume from: train without resuming."
            ) from error
        except OSError as error:
            raise Unreadable(f"{self.path} cannot be read: {error.strerror}.") from error
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).hexdigest().encode() != digest:
            raise Unreadable(
                f"{self.path} is no whole checkpoint: its digest is another one. Train without "
                "resuming."
            )
        try:
            document = from_bytes(content)
        except Unreadable as error:
            raise Unreadable(f"{self.path} is no checkpoint. {error}") from error
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise Unreadable(f"{self.path} must be a {_FORMAT}: train without resuming.")
        self._check(document["origin"])
        state: dict[str, Any] = document["state"]
        return state

    def _check(self, written: Mapping[str, str]) -> None:
        differences = [
            f"{name} (then {written.get(name, 'none')}, now {self._origin.get(name, 'none')})"
            for name in sorted(written.keys() | self._origin.keys())
            if written.get(name) != self._origin.get(name)
        ]
        if differences:
            raise InvalidSetting(
                f"The checkpoint {self.path} is of another fit, with another "
                f"{', '.join(differences)}: give the same again, or train without resuming."
            )


def origin_of(
    configuration: Configuration, dataset: Dataset, device: Device, threads: int
) -> dict[str, str]:
    """Everything that decides the bits of a fit, by name: each setting, data, torch, machine."""
    settings = {
        f"{section}.{name}": json.dumps(value)
        for section, values in configuration.model_dump(mode="json").items()
        for name, value in values.items()
    }
    return settings | {
        "data": data_digest(dataset)[:12],
        "torch": str(torch.__version__),
        "device": device.name,
        "number of processes": str(device.ranks),
        "number of threads": str(threads),
    }
