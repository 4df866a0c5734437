"""What is written is there whole or not at all."""

import os
import threading

import pytest

from lockstep.artifact.whole import write_file, write_folder


def test_a_file_is_replaced_by_all_its_parts(tmp_path):
    file = tmp_path / "answers.csv"
    file.write_bytes(b"old and longer than the new")
    write_file(file, (b"a,", b"b\n"))
    assert file.read_bytes() == b"a,b\n"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_is_the_old_one_still(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(28, "No space left on device")

    file = tmp_path / "answers.csv"
    file.write_bytes(b"old")
    monkeypatch.setattr(os if step == "fsync" else type(file), step, full)
    with pytest.raises(OSError, match="No space left"):
        write_file(file, (b"new",))
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, (b"a", b"b"))
    reader.join(timeout=10)
    assert read == [b"ab"]
    assert pipe.is_fifo()


def test_a_folder_that_somebody_else_has_written_stays_theirs(tmp_path):
    target = tmp_path / "models" / "1"
    write_folder(target, {"a/b": b"mine"})
    with pytest.raises(OSError, match="not empty"):
        write_folder(target, {"a/b": b"theirs"})
    assert (target / "a" / "b").read_bytes() == b"mine"
    assert [path.name for path in target.parent.iterdir()] == ["1"]
