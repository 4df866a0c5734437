import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import outputs
from lockstep_train.fit.device.choice import device_of
from lockstep_train.fit.device.device import Device
from lockstep_train.fit.fit import fit
from lockstep_train.fit.learner import Learner
from lockstep_train.fit.randomness import RandomStream
from lockstep_train.fit.threads import ONE_THREAD_WORK, threads_for
from lockstep_train.network.network import Network

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
NO_MASKS = {"hidden": (16, 8), "dropout": 0.0, "input_dropout": 0.0}
MASKS = {"hidden": (16, 8), "dropout": 0.3, "members": 2}
TRAINING = {"epochs": 4, "threads": 1, "batch_size": 15, "average": 0.8}

PROCESS = """
import json, sys
from pathlib import Path
import torch
import lockstep_train.fit.checkpoint.checkpoint, lockstep_train.fit.fit
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import outputs
from lockstep_train.network.digest import state_digest

lockstep_train.fit.checkpoint.checkpoint.SECONDS_BETWEEN = 0.0
folder = Path(sys.argv[1])
without, masked = map(Configuration.model_validate_json, sys.argv[2:])
wine = built_in("wine", 0)
told = []
plain = lockstep_train.fit.fit.fit(without, wine, on_epoch=told.append)
whole = lockstep_train.fit.fit.fit(masked, wine)

train_epoch, begun = lockstep_train.fit.fit.train_epoch, []

def crash_in_the_third(learner, rows):
    begun.append(rows)
    if len(begun) == 3:
        raise OSError("crashed")
    return train_epoch(learner, rows)

lockstep_train.fit.fit.train_epoch = crash_in_the_third
try:
    lockstep_train.fit.fit.fit(masked, wine, checkpoint=folder / "kept")
except OSError:
    resumed = lockstep_train.fit.fit.fit(masked, wine, checkpoint=folder / "kept", resume=True)

rank = torch.distributed.get_rank()
(folder / f"{rank}.json").write_text(json.dumps({
    "plain": state_digest(plain.network),
    "whole": state_digest(whole.network),
    "resumed": state_digest(resumed.network),
    "epochs trained": len(begun),
    "told": len(told),
    "leads": plain.leads,
    "processes": plain.processes,
    "layers": sorted({type(module).__name__ for module in plain.network.modules()}),
    "losses": [epoch.validation_loss for epoch in plain.history],
    "answers": outputs(plain.network, torch.tensor(wine.test.features)).tolist(),
}))
torch.distributed.destroy_process_group()
"""


def configured(network, **training):
    return Configuration.model_validate({"network": network, "training": TRAINING | training})


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes, started by torchrun, each say of the same fits."""
    folder = tmp_path_factory.mktemp("two")
    script = folder / "process.py"
    script.write_text(PROCESS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    settings = [configured(network).model_dump_json() for network in (NO_MASKS, MASKS)]
    done = subprocess.run(
        [*launch, str(script), str(folder), *settings],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_all_processes_end_with_the_same_network(two):
    assert two[0]["plain"] == two[1]["plain"]
    assert two[0]["whole"] == two[1]["whole"]


def test_two_processes_take_the_steps_that_one_would_take(two):
    """Sums are cut elsewhere, so that the last bits differ and grow over 28 steps."""
    alone = fit(configured(NO_MASKS), built_in("wine", 0))
    losses = [epoch.validation_loss for epoch in alone.history]
    assert two[0]["losses"] == pytest.approx(losses, rel=1e-4)
    answers = outputs(alone.network, torch.tensor(built_in("wine", 0).test.features))
    np.testing.assert_allclose(two[0]["answers"], answers, rtol=1e-2, atol=1e-3)


def test_two_processes_that_crashed_go_on_to_the_same_bits(two):
    assert [one["resumed"] for one in two] == [one["whole"] for one in two]
    assert two[0]["epochs trained"] == 5  # two, the one that crashed, and the last two


def test_only_the_first_process_speaks_and_writes(two):
    assert [one["leads"] for one in two] == [True, False]
    assert [one["told"] for one in two] == [4, 0]
    assert {one["processes"] for one in two} == {2}


def test_the_network_comes_back_with_plain_layers(two):
    assert "BatchNorm1d" in two[0]["layers"]
    assert not [layer for layer in two[0]["layers"] if "Sync" in layer or "Fabric" in layer]


def test_each_process_has_masks_of_its_own():
    class Second(Device):
        rank, ranks = 1, 2

    masks = {}
    for device in (Device(), Second()):
        configuration = configured(MASKS)
        stream = RandomStream(0)
        network = Network.of(configuration, built_in("wine", 0))
        learner = Learner.of(network, configuration, 100, stream, device)
        with learner.masks.drawn():
            masks[device.rank] = torch.rand(4)
    assert not torch.equal(masks[0], masks[1])


@given(batch=st.integers(2, 40), ranks=st.integers(2, 8))
def test_each_row_of_a_batch_goes_to_one_process(batch, ranks):
    shares = []
    for rank in range(ranks):
        device = Device()
        device.rank, device.ranks = rank, ranks
        shares.append(device.share(torch.arange(batch)))
    assert sorted(torch.cat(shares).tolist()) == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_rows_of_a_batch_are_refused():
    class Many(Device):
        ranks = 16

    configuration = configured(MASKS)
    network = Network.of(configuration, built_in("wine", 0))
    with pytest.raises(InvalidSetting, match="start fewer processes"):
        Learner.of(network, configuration, 100, RandomStream(0), Many())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_refused():
    with pytest.raises(InvalidSetting, match="torch sees none"):
        device_of(TrainingConfiguration(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_cuda_learns_what_the_cpu_learns(tmp_path, average):
    configuration = configured(MASKS, epochs=30, device="cuda", average=average)
    done = fit(configuration, built_in("wine", 0), checkpoint=tmp_path)
    assert done.device == "cuda"
    assert done.best.validation_score > 0.9
    assert not next(done.network.parameters()).is_cuda
    resumed = fit(configuration, built_in("wine", 0), checkpoint=tmp_path, resume=True)
    assert resumed.history == done.history


def test_without_fabric_more_than_the_cpu_is_refused(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
    monkeypatch.setattr("lockstep_train.fit.device.choice.find_spec", lambda _: None)
    with pytest.raises(InvalidSetting, match=r"pip install 'lockstep\[distributed\]'"):
        device_of(TrainingConfiguration(device="cpu"))


def test_a_fit_says_what_it_was_computed_on():
    done = fit(configured(MASKS, epochs=1, device="cpu"), built_in("wine", 0))
    assert (done.device, done.precision, done.members) == ("cpu", "float32", 2)
    assert (done.processes, done.leads, done.threads) == (1, True, 1)


@pytest.mark.parametrize(("threads", "expected"), [(3, 3), ("auto", 1)])
def test_a_small_step_gets_one_thread_unless_told(threads, expected):
    training = TrainingConfiguration(threads=threads, batch_size=8)
    assert threads_for(training, torch.nn.Linear(100, 100)) == expected


def test_a_large_step_gets_all_cores():
    training = TrainingConfiguration(batch_size=1024)
    width = int((ONE_THREAD_WORK / 1024) ** 0.5) + 1
    assert threads_for(training, torch.nn.Linear(width, width)) == torch.get_num_threads()


@pytest.mark.parametrize("threads", [0, 1025, True, "all", 1.0, None])
def test_threads_that_make_no_sense_are_refused_in_one_sentence(threads):
    with pytest.raises(InvalidSetting) as refused:
        TrainingConfiguration(threads=threads)
    assert str(refused.value) == (
        f"training.threads must be auto, or a whole number from 1 to 1024, got {threads!r}."
    )
