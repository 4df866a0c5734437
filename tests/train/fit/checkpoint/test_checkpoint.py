import dataclasses
import functools
import hashlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.errors import InvalidSetting, NotFound, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.fit.checkpoint.checkpoint import FILE
from lockstep_train.fit.checkpoint.container import from_bytes, to_bytes
from lockstep_train.fit.fit import fit
from lockstep_train.network.digest import state_digest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
SETTINGS = {
    "network": {
        "hidden": (16, 8),
        "dropout": 0.3,
        "input_dropout": 0.1,
        "members": 2,
        "max_norm": 2.0,
    },
    "training": {"epochs": 7, "average": 0.9, "batch_size": 16, "threads": 1, "seed": 3},
}


class Crashed(RuntimeError):
    """What ends a fit in the middle."""


@pytest.fixture(autouse=True)
def written_after_each_epoch(monkeypatch):
    monkeypatch.setattr("lockstep_train.fit.checkpoint.checkpoint.SECONDS_BETWEEN", 0.0)


@pytest.fixture(scope="module")
def wine():
    return built_in("wine", 0)


def configured(**training):
    return Configuration.model_validate(
        SETTINGS | {"training": {**SETTINGS["training"], **training}}
    )


@functools.cache
def uninterrupted(**training):
    return fit(configured(**training), built_in("wine", 0))


def crash_after(epochs):
    def on_epoch(epoch):
        if epoch.number == epochs:
            raise Crashed

    return on_epoch


def crashed(folder, dataset, after, **training):
    with pytest.raises(Crashed):
        fit(configured(**training), dataset, checkpoint=folder, on_epoch=crash_after(after))


def resumed(folder, dataset, **training):
    return fit(configured(**training), dataset, checkpoint=folder, resume=True)


def unclocked(done):
    return [dataclasses.replace(epoch, seconds=0) for epoch in done.history]


def assert_same(done, whole):
    assert state_digest(done.network) == state_digest(whole.network)
    assert unclocked(done) == unclocked(whole)
    assert (done.best_epoch, done.stopped_early) == (whole.best_epoch, whole.stopped_early)


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3, 6])
@pytest.mark.parametrize(
    "training",
    [{}, {"decay": "l2", "schedule": "cosine", "average": 0.0}, {"schedule": "constant"}],
    ids=["one_cycle", "l2", "constant"],
)
def test_a_fit_that_crashed_goes_on_to_the_same_bits(tmp_path, wine, epochs, training):
    crashed(tmp_path, wine, epochs, **training)
    assert_same(resumed(tmp_path, wine, **training), uninterrupted(**training))


def test_a_fit_that_crashed_twice_goes_on_to_the_same_bits(tmp_path, wine):
    crashed(tmp_path, wine, 2)
    with pytest.raises(Crashed):
        fit(configured(), wine, checkpoint=tmp_path, resume=True, on_epoch=crash_after(5))
    assert_same(resumed(tmp_path, wine), uninterrupted())


def test_a_fit_that_was_stopped_by_a_person_goes_on_to_the_same_bits(tmp_path, wine):
    def stop(epoch):
        if epoch.number == 3:
            raise KeyboardInterrupt

    stopped = fit(configured(), wine, checkpoint=tmp_path, on_epoch=stop)
    assert stopped.interrupted
    done = resumed(tmp_path, wine)
    assert not done.interrupted
    assert_same(done, uninterrupted())
    assert done.seconds > stopped.seconds


def test_patience_counts_the_epochs_before_the_crash(tmp_path, wine):
    restless = {"epochs": 200, "patience": 3, "learning_rate": 0.05, "schedule": "constant"}
    whole = uninterrupted(**restless)
    assert whole.stopped_early
    crashed(tmp_path, wine, whole.best_epoch + 1, **restless)
    assert_same(resumed(tmp_path, wine, **restless), whole)


KILLED = """
import sys
from pathlib import Path
import lockstep_train.fit.checkpoint.checkpoint
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.fit.fit import fit

lockstep_train.fit.checkpoint.checkpoint.SECONDS_BETWEEN = 0.0
configuration = Configuration.model_validate_json(sys.argv[1])
said = lambda epoch: print(epoch.number, "lightning_fabric" in sys.modules, flush=True)
fit(configuration, built_in("wine", 0), checkpoint=Path(sys.argv[2]), on_epoch=said)
"""


@pytest.mark.slow
def test_a_process_that_was_killed_goes_on_to_the_same_bits_and_needed_no_fabric(tmp_path, wine):
    # The kill comes in the middle of some later epoch, or while the checkpoint is written.
    long = {"epochs": 60, "patience": 0}
    configuration = configured(**long)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, configuration.model_dump_json(), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        for line in process.stdout:
            number, fabric = line.split()
            assert fabric == "False"
            if int(number) == 4:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    told = []
    done = fit(configuration, wine, checkpoint=tmp_path, resume=True, on_epoch=told.append)
    assert len(told) < 57
    assert_same(done, uninterrupted(**long))


def test_a_finished_fit_is_not_trained_again(tmp_path, wine):
    whole = fit(configured(), wine, checkpoint=tmp_path)
    told = []
    again = fit(configured(), wine, checkpoint=tmp_path, resume=True, on_epoch=told.append)
    assert told == []
    assert_same(again, whole)
    assert again.history == whole.history


def test_keeping_a_checkpoint_changes_no_bit(tmp_path, wine):
    assert_same(fit(configured(), wine, checkpoint=tmp_path), uninterrupted())


def test_without_resuming_a_checkpoint_is_replaced(tmp_path, wine):
    crashed(tmp_path, wine, 2, seed=8)
    fit(configured(), wine, checkpoint=tmp_path)
    assert_same(resumed(tmp_path, wine), uninterrupted())
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_short_epochs_are_not_held_up_by_writing(tmp_path, wine, monkeypatch):
    monkeypatch.setattr("lockstep_train.fit.checkpoint.checkpoint.SECONDS_BETWEEN", 1e9)
    written = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *paths: written.append(paths) or replace(*paths))
    fit(configured(), wine, checkpoint=tmp_path)
    assert len(written) == 2  # after the first epoch, and at the end


@pytest.mark.parametrize(
    ("training", "named"),
    [
        ({"seed": 4}, r"another training.seed \(then 3, now 4\)"),
        ({"epochs": 9}, r"another training.epochs \(then 7, now 9\)"),
        ({"threads": 2}, r"number of threads \(then 1, now 2\), training.threads"),
    ],
)
def test_another_setting_is_refused_by_its_name(tmp_path, wine, training, named):
    crashed(tmp_path, wine, 1)
    with pytest.raises(InvalidSetting, match=named):
        resumed(tmp_path, wine, **training)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("field", ["features", "targets"])
def test_other_data_are_refused(tmp_path, wine, part, field):
    crashed(tmp_path, wine, 1)
    split = getattr(wine, part)
    changed = np.roll(getattr(split, field), 1, axis=0)
    other = dataclasses.replace(wine, **{part: dataclasses.replace(split, **{field: changed})})
    with pytest.raises(InvalidSetting, match=r"another data \(then \w{12}, now \w{12}\)"):
        resumed(tmp_path, other)


def test_resuming_where_nothing_was_kept_is_refused(tmp_path, wine):
    with pytest.raises(NotFound, match="no checkpoint"):
        resumed(tmp_path, wine)
    with pytest.raises(InvalidSetting, match="name the folder"):
        fit(configured(), wine, resume=True)


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory, wine):
    folder = tmp_path_factory.mktemp("checkpoint")
    fit(configured(epochs=1), wine, checkpoint=folder)
    return (folder / FILE).read_bytes()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_checkpoint_with_any_byte_flipped_or_cut_off_is_refused(
    tmp_path_factory, wine, whole_file, data
):
    place = data.draw(st.integers(0, len(whole_file) - 1))
    flip = data.draw(st.integers(0, 255))
    damaged = bytearray(whole_file)
    damaged[place] ^= flip
    folder = tmp_path_factory.mktemp("damaged")
    (folder / FILE).write_bytes(damaged if flip else damaged[:place])
    with pytest.raises(Unreadable, match="no whole checkpoint"):
        resumed(folder, wine, epochs=1)


def sealed(content):
    return hashlib.sha256(content).hexdigest().encode() + content


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def with_a_pickle():
    buffer = io.BytesIO()
    np.savez(buffer, document=np.array([Malicious()], dtype=object))
    return buffer.getvalue()


def as_a_pickle():
    buffer = io.BytesIO()
    torch.save(Malicious(), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [with_a_pickle(), as_a_pickle(), b"", b"{}"])
def test_a_checkpoint_that_is_something_else_is_refused_and_not_run(
    tmp_path, wine, monkeypatch, content
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_bytes(sealed(content))
    with pytest.raises(Unreadable, match="is no checkpoint"):
        resumed(tmp_path, wine)
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_of_another_format_is_refused(tmp_path, wine):
    (tmp_path / FILE).write_bytes(sealed(to_bytes({"format": "lockstep checkpoint 0"})))
    with pytest.raises(Unreadable, match="must be a lockstep checkpoint"):
        resumed(tmp_path, wine)


SIMPLE = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5)
)
STATES = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(state=STATES)
def test_numbers_words_and_collections_come_back_as_they_were(state):
    assert repr(from_bytes(to_bytes(state))) == repr(state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_tensors_come_back_bit_for_bit(dtype, shape):
    tensor = (torch.rand(shape) * 200).to(dtype)
    (again,) = from_bytes(to_bytes([tensor]))
    assert again.dtype == dtype
    assert again.numpy().tobytes() == tensor.numpy().tobytes()
    assert again.shape == tensor.shape


def test_anything_else_is_not_written():
    with pytest.raises(TypeError, match="tensors, numbers and words"):
        to_bytes({"a": {1, 2}})


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, wine):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidSetting, match="cannot be written"):
        fit(configured(), wine, checkpoint=tmp_path / "file" / "folder")
