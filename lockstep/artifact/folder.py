"""The folder of an artifact: written whole or not at all, and checked against its digests.

``digest`` seals ``manifest.json``, and the manifest seals every other file, so every file is
sealed. ``digest`` has the format of sha256sum: ``sha256sum -c digest`` checks it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lockstep.artifact.manifest import Manifest, SealedFile, check_name
from lockstep.artifact.whole import write_folder
from lockstep.errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidSetting,
    NotFound,
    Unreadable,
)

MANIFEST = "manifest.json"
DIGEST = "digest"
CERTIFICATE = "certificate.json"
GOLDEN = "golden.npz"
ONNX = "model.onnx"
TORCHSCRIPT = "model.ts"
SERVING_FILES = frozenset({ONNX, TORCHSCRIPT, CERTIFICATE, GOLDEN})


@dataclass(frozen=True)
class Artifact:
    """An artifact whose manifest matches its digest.

    Attributes:
        path: its folder.
        manifest: as sealed.
        digest: sha256 of ``manifest.json`` in hexadecimal: the artifact's identity.
    """

    path: Path
    manifest: Manifest
    digest: str

    def read(self, file: str) -> bytes:
        """The bytes of a sealed file, checked against its digest at every read.

        Raises:
            NotFound: where the manifest names no such file.
            DigestMismatch: where the file is gone or is not the sealed one.
        """
        sealed = self.manifest.files.get(file)
        if sealed is None:
            raise NotFound(f"{self.path} holds no {file}: its manifest names none.")
        try:
            data = (self.path / file).read_bytes()
        except OSError as error:
            raise DigestMismatch(
                f"{self.path / file} is sealed in the manifest but cannot be read "
                f"({error.strerror}); restore the artifact from where it was made."
            ) from error
        if len(data) != sealed.bytes or sha256(data) != sealed.sha256:
            raise DigestMismatch(
                f"{self.path / file} is not the file that was sealed: expected sha256 "
                f"{sealed.sha256[:12]}… and {sealed.bytes} bytes, found {sha256(data)[:12]}… and "
                f"{len(data)} bytes; restore the artifact from where it was made."
            )
        return data

    def read_serving_files(self, *needed: str) -> dict[str, bytes]:
        """Check every file that serving needs against its digest; each is read once.

        Args:
            needed: the files whose bytes are returned; the bytes of the others are freed at once.

        Raises:
            NotFound: where the manifest names no such file.
            DigestMismatch: naming the first file that is not the sealed one.
        """
        read: dict[str, bytes] = {}
        for file in sorted({*needed, *(SERVING_FILES & self.manifest.files.keys())}):
            data = self.read(file)
            if file in needed:
                read[file] = data
        return read

    def changed_papers(self) -> list[str]:
        """A sentence for each file for people (card, report) that changed or is not sealed."""
        complaints = []
        for file in sorted(self.manifest.files.keys() - SERVING_FILES):
            try:
                self.read(file)
            except DigestMismatch as error:
                complaints.append(str(error))
        complaints.extend(
            f"{self.path / file} is not named in the manifest; remove it, an artifact holds only "
            f"what is sealed."
            for file in sorted(_files(self.path) - self.manifest.files.keys() - {MANIFEST, DIGEST})
        )
        return complaints


def sha256(data: bytes) -> str:
    """sha256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def open_artifact(path: Path | str) -> Artifact:
    """Open an artifact; the manifest is checked against ``digest`` before it is parsed.

    Raises:
        NotFound: where there is no artifact.
        DigestMismatch: where the manifest is not the sealed one.
        Unreadable: where it is not a manifest of this format.
    """
    path = Path(path)
    if not path.is_dir():
        raise NotFound(f"Expected an artifact's folder at {path}, found none.")
    try:
        manifest = (path / MANIFEST).read_bytes()
        digest = (path / DIGEST).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            f"{path} is no artifact: it holds no {Path(str(error.filename)).name}."
        ) from error
    except OSError as error:
        raise Unreadable(f"{error.filename} cannot be read: {error.strerror}.") from error
    found = sha256(manifest)
    if digest != _digest_line(found):
        raise DigestMismatch(
            f"{path / MANIFEST} and {path / DIGEST} do not belong together: the manifest's sha256 "
            f"is {found[:12]}…; restore the artifact from where it was made."
        )
    return Artifact(path, Manifest.from_bytes(manifest), found)


def _digest_line(digest: str) -> bytes:
    return f"{digest}  {MANIFEST}\n".encode()


def next_version(models: Path, name: str) -> int:
    """The number after the highest version of a model, from 1."""
    check_name(name)
    return max(version_numbers(models / name), default=0) + 1


def version_numbers(folder: Path) -> Iterator[int]:
    """The version numbers among the folders of one model."""
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.is_dir() and entry.name.isascii() and entry.name.isdigit():
                yield int(entry.name)


def check_writable(models: Path, name: str) -> None:
    """Refuse a place where no artifact can be written, before any work is done.

    Args:
        models: the repository; it need not exist yet.
        name: of the model.

    Raises:
        InvalidSetting: for a wrong name, or where a folder on the way to it cannot be written.
    """
    check_name(name)
    folder = models / name
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise InvalidSetting(f"Expected {nearest} to be a folder; choose another models folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InvalidSetting(
            f"{folder} cannot be written, since {nearest} cannot; choose another models folder."
        )


def write_artifact(models: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Artifact:
    """Write an artifact, whole or not at all.

    Args:
        models: the repository.
        manifest: without ``files``; they are sealed here.
        files: contents by path within the artifact.

    Raises:
        AlreadyExists: where that version exists; it is never overwritten.
        Unreadable: where the repository cannot be written.
    """
    sealed = manifest.model_copy(
        update={
            "files": {
                path: SealedFile(sha256=sha256(data), bytes=len(data))
                for path, data in sorted(files.items())
            }
        }
    )
    target = models / manifest.name / str(manifest.version)
    if target.exists():
        raise AlreadyExists(_exists(target))
    content = sealed.to_bytes()
    papers = {MANIFEST: content, DIGEST: _digest_line(sha256(content))}
    try:
        write_folder(target, {**files, **papers})
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:  # another process was faster
            raise AlreadyExists(_exists(target)) from error
        raise Unreadable(
            f"{target} cannot be written: {error.strerror or error}; nothing was left there."
        ) from error
    return open_artifact(target)


def _exists(target: Path) -> str:
    return f"{target} exists, and a version is never overwritten; choose another version or name."


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
