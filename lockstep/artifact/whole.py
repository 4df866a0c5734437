"""Files and folders that are written whole or not at all.

New content is written and synced under a temporary name beside its place, and then renamed. So a
reader sees either the old content or the new, never a part. After an error no temporary file
is left.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

TEMPORARY_PREFIX: Final = ".writing-"


def write_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file, or replace the one that is there.

    Args:
        path: of the file. A pipe or a device is not replaced but written to.
        parts: the content, in order.

    Raises:
        OSError: where it cannot be written; the old file is then unchanged.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            stream.writelines(parts)
        return
    temporary = _beside(path)
    try:
        _write_synced(temporary, parts)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder, with the folders above it.

    Args:
        target: the folder.
        files: contents by path within it.

    Raises:
        OSError: where it cannot be written, or another process has written it meanwhile.
    """
    temporary = _beside(target)
    renamed = False
    try:
        temporary.mkdir(parents=True)
        for path, data in files.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            _write_synced(temporary / path, (data,))
        for folder in {(temporary / path).parent for path in files}:
            _sync_folder(folder)
        temporary.rename(target)
        renamed = True
        _sync_folder(target.parent)
    except BaseException:
        if renamed:  # move it back first: a reader must never see it half removed
            target.rename(temporary)
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # the parent holds other files
            target.parent.rmdir()
        raise


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")


def _write_synced(path: Path, parts: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
