import io
import sys
import warnings

import numpy as np
import pytest
import torch

from lockstep.artifact.folder import open_artifact
from lockstep.artifact.manifest import TensorSpec
from lockstep.engine.engine import check_engine_name, open_engine
from lockstep.engine.onnx import describe_tensors
from lockstep.engine.tile import pieces
from lockstep.errors import EngineFailure, EngineUnavailable, InvalidSetting, NotFound, Unreadable
from lockstep.imported import import_onnx
from serving import engine_of

ENGINES = ["onnx", "torchscript"]


@pytest.fixture(scope="module")
def sealed(artifact):
    return open_artifact(artifact)


@pytest.fixture(params=ENGINES)
def engine(request, sealed):
    return engine_of(sealed, request.param)


def test_a_batch_is_answered_in_the_order_of_its_rows(engine, wine):
    rows = wine.dataset.test.features[:9]
    (answers,) = engine.run(rows)
    assert answers.dtype == np.float32
    assert answers.shape == (9, 3)
    np.testing.assert_allclose(engine.run(rows[::-1].copy())[0][::-1], answers, atol=1e-6)


def test_rows_that_do_not_fit_are_a_failure_in_our_own_words(engine):
    with pytest.raises(EngineFailure, match="could not run the rows"):
        engine.run(np.zeros((2, 5), np.float32))


class Raising(torch.nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if rows.sum() > 0:
            raise ValueError("its own objection")
        return rows


def test_what_a_module_raises_itself_is_a_failure_too():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(Raising()), buffer)
    output = TensorSpec(name="rows", datatype="FP32", shape=(-1, 2))
    engine = open_engine("torchscript", buffer.getvalue(), [output])
    with pytest.raises(EngineFailure, match=r"could not run the rows: .*its own objection"):
        engine.run(np.ones((2, 2), np.float32))


def test_bytes_that_may_not_be_written_to_are_read_without_a_warning(engine, wine):
    rows = wine.dataset.test.features[:2].copy()
    expected = engine.run(rows)[0].tobytes()
    frozen = np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert engine.run(frozen)[0].tobytes() == expected


def test_neither_module_nor_mode_can_be_reached(engine):
    names = {name for name in dir(engine) if not name.startswith("__")}
    assert {name for name in names if not name.startswith("_")} == {"name", "run"}
    for name in names:
        for way_out in ("train", "eval", "training", "parameters"):
            assert not hasattr(getattr(engine, name), way_out)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("data", [b"", b"garbage", b"PK\x03\x04"])
def test_bytes_that_are_no_model_are_unreadable(name, data, sealed):
    with pytest.raises(Unreadable, match="cannot load"):
        open_engine(name, data, sealed.manifest.outputs)


def test_an_engine_that_nobody_knows_is_refused():
    assert check_engine_name("onnx") == "onnx"
    with pytest.raises(InvalidSetting, match="must be onnx or torchscript, however: 'tensorrt'"):
        check_engine_name("tensorrt")


def test_without_torch_the_sentence_says_what_to_install(sealed, monkeypatch):
    monkeypatch.delitem(sys.modules, "lockstep.engine.torchscript", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailable, match=r"install lockstep\[torchscript\]"):
        engine_of(sealed, "torchscript")


def test_an_imported_model_has_no_file_for_torchscript(onnx_file, tmp_path):
    source = onnx_file("net (float[n, 2] x) => (float[n, 2] y) { y = Relu(x) }")
    written, _ = import_onnx(source, tmp_path / "models", "m")
    with pytest.raises(NotFound, match=r"holds no model\.ts"):
        engine_of(written, "torchscript")


def test_tensors_are_described_as_the_protocol_names_them(onnx_file):
    source = onnx_file(
        "net (float[n, 2] x, int64[3] k) => (double[n, m] y, bool[n] z) "
        "{ y = Cast<to = 11>(x)\n z = Cast<to = 9>(k) }"
    )
    inputs, outputs = describe_tensors(source.read_bytes())
    assert [(t.datatype, t.shape) for t in inputs] == [("FP32", (-1, 2)), ("INT64", (3,))]
    assert [t.datatype for t in outputs] == ["FP64", "BOOL"]


def test_pieces_hold_every_row_once_in_order():
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    cut = list(pieces(rows, 3))
    assert [len(piece) for piece in cut] == [3, 3, 1]
    assert np.array_equal(np.concatenate(cut), rows)
