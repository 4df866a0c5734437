import numpy as np
import pytest

from lockstep.artifact.columns import Column
from lockstep.artifact.manifest import TensorSpec
from lockstep.errors import ParityBroken
from lockstep_train.export.parity import measure_parity, nonsense

OUTPUT = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 2))
ROWS = "every row"


@pytest.fixture
def engines(monkeypatch):
    """Engines that answer their rows plus an offset, whatever their file."""
    offsets = {"onnx": 0.0, "torchscript": 0.0}

    class Offset:
        def __init__(self, name):
            self.name = name

        def run(self, features):
            assert len(features) <= 4
            return (features + np.float32(offsets[self.name]),)

    monkeypatch.setattr("lockstep_train.export.parity.RUN_ROWS", 4)
    monkeypatch.setattr("lockstep_train.export.parity.open_engine", lambda name, *_: Offset(name))
    return offsets


def measure(rows):
    features = np.random.default_rng(0).random((rows, 2), np.float32)
    files = {"model.onnx": b"", "model.ts": b""}
    return measure_parity(lambda x: x, files, OUTPUT, "classification", {ROWS: features})


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_every_row_is_compared_in_each_pair_of_forms(engines, rows):
    engines["onnx"] = 1e-6
    (group,) = measure(rows)
    assert group.of == ROWS
    assert [(pair.left, pair.right, pair.rows) for pair in group.parity] == [
        ("eager", "onnx", rows),
        ("eager", "torchscript", rows),
        ("onnx", "torchscript", rows),
    ]
    assert group.parity[0].max_abs == pytest.approx(1e-6, rel=0.1)
    assert group.parity[1].max_abs == 0


@pytest.mark.parametrize("engine", ["onnx", "torchscript"])
def test_a_form_beyond_the_bound_is_refused_by_name(engines, engine):
    engines[engine] = 2e-5
    with pytest.raises(ParityBroken, match=f"eager and {engine} differ by 2e-05 in probabilities"):
        measure(9)


def test_rows_of_numbers_alone_hold_no_codes():
    assert nonsense((Column(name="a"),), np.zeros((3, 1), np.float32)) is None


def test_every_code_is_once_negative_broken_too_large_and_missing():
    columns = (
        Column(name="a"),
        Column(name="b", kind="categorical", vocabulary=("x", "y")),
        Column(name="c", kind="boolean"),
    )
    rows = nonsense(columns, np.ones((5, 3), np.float32))
    assert (rows[:, 0] == 1).all()
    for place, beyond in ((1, 100), (2, 100)):
        found = rows[:, place]
        assert np.isnan(found).any()
        assert set(found[~np.isnan(found)].tolist()) == {-1.0, float(np.float32(1.7)), beyond}
