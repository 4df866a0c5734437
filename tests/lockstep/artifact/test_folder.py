import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.artifact import whole
from lockstep.artifact.folder import (
    SERVING_FILES,
    check_writable,
    next_version,
    open_artifact,
    sha256,
    write_artifact,
)
from lockstep.artifact.manifest import Manifest, TensorSpec
from lockstep.errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidSetting,
    LockstepError,
    NotFound,
    Unreadable,
)
from lockstep.proof.load import prove_at_load
from lockstep.proof.verify import verify

FILES = {"model.onnx": b"graph", "report/curves.png": b"drawn", "card.md": b"read me"}


@pytest.fixture
def manifest():
    return Manifest(
        name="m",
        version=3,
        task="tensors",
        origin="imported",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 2)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 1)),),
    )


def everything(models: Path) -> list[str]:
    return sorted(path.relative_to(models).as_posix() for path in models.rglob("*"))


def test_what_is_written_is_what_is_read_and_everything_is_sealed(manifest, tmp_path):
    written = write_artifact(tmp_path, manifest, FILES)
    again = open_artifact(tmp_path / "m" / "3")
    assert again == written
    assert {file: again.read(file) for file in again.manifest.files} == FILES
    assert again.changed_papers() == []
    assert again.digest == sha256((again.path / "manifest.json").read_bytes())
    assert everything(tmp_path) == [
        "m",
        "m/3",
        "m/3/card.md",
        "m/3/digest",
        "m/3/manifest.json",
        "m/3/model.onnx",
        "m/3/report",
        "m/3/report/curves.png",
    ]


def test_another_user_may_read_what_was_written(manifest, tmp_path):
    written = write_artifact(tmp_path, manifest, FILES)
    umask = os.umask(0)
    os.umask(umask)
    for path in (written.path, written.path / "report", written.path / "model.onnx"):
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == wanted


def count_of_steps(monkeypatch, step):
    """Make a step of the writing count its calls, or fail at the n-th."""
    calls = []
    owner, name = step
    real = getattr(owner, name)

    def counted(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) == counted.fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **keywords)

    counted.fails_at = 0
    monkeypatch.setattr(owner, name, counted)
    return calls, counted


STEPS = {
    "fsync": (os, "fsync"),
    "rename": (Path, "rename"),
    "write": (whole, "_write_synced"),
    "mkdir": (Path, "mkdir"),
    "sync folder": (whole, "_sync_folder"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_failure_at_any_step_leaves_nothing_and_no_older_version_is_touched(
    manifest, tmp_path, monkeypatch, step
):
    older = write_artifact(tmp_path, manifest.model_copy(update={"version": 2}), FILES)
    before = everything(tmp_path)
    calls, counted = count_of_steps(monkeypatch, step)
    write_artifact(tmp_path, manifest, FILES)
    total = len(calls)
    for path in sorted((tmp_path / "m" / "3").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "m" / "3").rmdir()
    assert total >= 1
    for n in range(1, total + 1):
        calls.clear()
        counted.fails_at = n
        with pytest.raises(Unreadable, match="No space left on device; nothing was left there"):
            write_artifact(tmp_path, manifest, FILES)
        counted.fails_at = 0
        assert everything(tmp_path) == before
    assert open_artifact(older.path).digest == older.digest


def test_a_failed_first_version_leaves_no_empty_model_behind(manifest, tmp_path, monkeypatch):
    _, counted = count_of_steps(monkeypatch, STEPS["fsync"])
    counted.fails_at = 2
    with pytest.raises(Unreadable):
        write_artifact(tmp_path, manifest, FILES)
    assert everything(tmp_path) == []


def test_an_interruption_leaves_nothing(manifest, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_artifact(tmp_path, manifest, FILES)
    assert everything(tmp_path) == []


def test_an_existing_version_is_not_overwritten(manifest, tmp_path):
    first = write_artifact(tmp_path, manifest, FILES)
    with pytest.raises(AlreadyExists, match="never overwritten"):
        write_artifact(tmp_path, manifest, {**FILES, "card.md": b"other"})
    assert first.read("card.md") == b"read me"
    assert next_version(tmp_path, "m") == 4


def test_a_version_that_appears_meanwhile_is_not_overwritten(manifest, tmp_path, monkeypatch):
    real = whole._sync_folder

    def somebody_is_faster(path):
        monkeypatch.setattr(whole, "_sync_folder", real)
        write_artifact(tmp_path, manifest, {**FILES, "card.md": b"theirs"})
        real(path)

    monkeypatch.setattr(whole, "_sync_folder", somebody_is_faster)
    with pytest.raises(AlreadyExists):
        write_artifact(tmp_path, manifest, FILES)
    assert open_artifact(tmp_path / "m" / "3").read("card.md") == b"theirs"
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["3"]


def test_leftovers_and_strangers_are_no_versions(tmp_path):
    for name in (".writing-x", "seven", "²", "latest"):
        (tmp_path / "m" / name).mkdir(parents=True)
    (tmp_path / "m" / "9").write_text("no folder")
    assert next_version(tmp_path, "m") == 1


def test_a_place_that_cannot_be_written_is_refused_beforehand(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "models", "m")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetting, match="to be a folder"):
        check_writable(tmp_path / "file", "m")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InvalidSetting, match="cannot be written"):
        check_writable(tmp_path, "m")


@pytest.mark.parametrize("missing", ["manifest.json", "digest"])
def test_a_folder_without_its_papers_is_no_artifact(artifact_copy, missing):
    (artifact_copy / missing).unlink()
    with pytest.raises(NotFound, match=f"holds no {missing}"):
        open_artifact(artifact_copy)


@pytest.mark.parametrize("path", ["../../outside", "/etc/passwd", "a\\b"])
def test_a_manifest_cannot_name_files_outside_its_folder(artifact_copy, path):
    manifest = (artifact_copy / "manifest.json").read_text()
    escaped = path.replace("\\", "\\\\")
    spoiled = manifest.replace('"card.md"', f'"{escaped}"', 1).encode()
    (artifact_copy / "manifest.json").write_bytes(spoiled)
    (artifact_copy / "digest").write_text(f"{sha256(spoiled)}  manifest.json\n")
    with pytest.raises(Unreadable, match="leaves the artifact's folder"):
        open_artifact(artifact_copy)


# -- any flipped byte --------------------------------------------------------------------------


def files_of(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def flip(path: Path, position: int, mask: int) -> bytes:
    """Change one byte, and return what was there before."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[position % len(before)] ^= mask
    path.write_bytes(bytes(changed))
    return before


flips = given(data=st.data(), position=st.integers(0, 10**7), mask=st.integers(1, 255))
patient = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@flips
@patient
def test_any_flipped_byte_in_a_serving_file_is_refused_at_load(artifact_copy, data, position, mask):
    serving = sorted({*SERVING_FILES, "manifest.json", "digest"})
    path = artifact_copy / data.draw(st.sampled_from(serving))
    before = flip(path, position, mask)
    try:
        with pytest.raises(DigestMismatch):
            prove_at_load(
                open_artifact(artifact_copy),
                "onnx",
                threads=1,
                max_batch_rows=4,
                budget_s=1.0,
            )
    finally:
        path.write_bytes(before)


@flips
@patient
def test_any_flipped_byte_in_any_file_is_refused_by_verify(
    artifact_copy, data, position, mask, monkeypatch
):
    # The proof itself is measured elsewhere; it does not look at what these files hold.
    monkeypatch.setattr("lockstep.proof.prove.DETERMINISM_RUNS", 2)
    monkeypatch.setattr("lockstep.proof.prove.batch_sizes", lambda _: (1, 2))
    monkeypatch.setattr("lockstep.proof.prove.MODEL_FILES", {"onnx": "model.onnx"})
    name = data.draw(st.sampled_from(files_of(artifact_copy)))
    path = artifact_copy / name
    before = flip(path, position, mask)
    serving = name in {*SERVING_FILES, "manifest.json", "digest"}
    try:
        if serving:
            with pytest.raises(DigestMismatch, match=path.name):
                verify(artifact_copy)
        else:
            assert name in verify(artifact_copy).complaints[0]
    finally:
        path.write_bytes(before)


def test_a_file_that_nothing_seals_is_refused_by_verify(artifact_copy):
    (artifact_copy / "report" / "extra.txt").write_text("psst")
    found = verify(artifact_copy)
    assert not found.holds
    assert "extra.txt is not named in the manifest" in found.complaints[0]


@pytest.mark.parametrize("file", sorted(SERVING_FILES))
def test_a_missing_serving_file_is_refused_by_verify_and_at_load(artifact_copy, file):
    (artifact_copy / file).unlink()
    with pytest.raises(DigestMismatch, match="is sealed in the manifest but cannot be read"):
        verify(artifact_copy)
    with pytest.raises(LockstepError, match=file):
        prove_at_load(
            open_artifact(artifact_copy), "onnx", threads=1, max_batch_rows=4, budget_s=1.0
        )


def test_a_missing_paper_is_refused_by_verify_and_not_at_load(artifact_copy):
    (artifact_copy / "card.md").unlink()
    assert "card.md is sealed" in verify(artifact_copy).complaints[0]
    engine, *_ = prove_at_load(
        open_artifact(artifact_copy), "onnx", threads=1, max_batch_rows=4, budget_s=1.0
    )
    assert engine.name == "onnx"
