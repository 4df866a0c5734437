import json

import numpy as np
import onnx
import pytest

from corpus import case
from lockstep.artifact.folder import open_artifact
from lockstep.errors import (
    AlreadyExists,
    InvalidSetting,
    LockstepError,
    NotFound,
    RowMixing,
    TrainingMode,
    Unreadable,
    Unservable,
)
from lockstep.imported import import_onnx
from lockstep.proof.load import prove_at_load
from lockstep.proof.verify import verify
from serving import engine_of

WEIGHTS = "<float[2,3] w = {1, 2, 3, 4, 5, 6}, float[3] b = {0.5, -0.5, 0}>"
PLAIN = f"""
net (float[batch, 2] features) => (float[batch, 3] scores) {WEIGHTS}
{{
    hidden = Gemm(features, w, b)
    scores = Relu(hidden)
}}
"""
FROZEN = PLAIN.replace("batch", "4")
FROZEN_INSIDE = """
net (float[4, 2] features) => (float[4, 2] scores) <int64[2] shape = {4, 2}>
{
    scores = Reshape(features, shape)
}
"""
IMAGE = """
net (float[batch, 1, 4, 4] image) => (float[batch, 4] flat)
<float[2, 1, 3, 3] k = {1,0,0,0,1,0,0,0,1, 1,1,1,0,0,0,2,2,2}>
{
    maps = Conv(image, k)
    small = MaxPool<kernel_shape = [1, 2]>(maps)
    flat = Flatten(small)
}
"""
SEVERAL = """
net (float[batch, 2] features) => (int64[batch] label, float[batch, 2] scores)
{
    scores = Softmax(features)
    label = ArgMax<axis = 1, keepdims = 0>(scores)
}
"""
ZIPMAP = """
net (float[batch, 2] features) => (float[batch, 2] scores, seq(map(int64, float)) probabilities)
{
    scores = Softmax(features)
    probabilities = ai.onnx.ml.ZipMap<classlabels_int64s = [0, 1]>(scores)
}
"""


def answers(path, features):
    engine = engine_of(open_artifact(path), "onnx")
    return engine.run(np.asarray(features, np.float32))


def test_a_plain_model_is_sealed_proved_and_answers_as_before(onnx_file, tmp_path):
    written, certificate = import_onnx(onnx_file(PLAIN), tmp_path / "models", "plain")
    manifest = written.manifest
    assert (manifest.task, manifest.origin, manifest.version) == ("tensors", "imported", 1)
    assert [column.name for column in manifest.columns] == ["feature_0", "feature_1"]
    assert manifest.outputs[0].shape == (-1, 3)
    assert certificate.rows[0].verdict == "independent"
    assert set(certificate.engines) == {"onnx"}
    np.testing.assert_allclose(answers(written.path, [[1, 1], [0, -1]]), [[[5.5, 6.5, 9], [0] * 3]])
    assert verify(written.path).holds
    engine, proof, _ = prove_at_load(
        open_artifact(written.path), "onnx", threads=1, max_batch_rows=16, budget_s=5.0
    )
    assert engine.name == "onnx"
    assert proof.golden == "equal"


def test_the_file_is_kept_as_it_came_but_for_the_batch(onnx_file, tmp_path):
    source = onnx_file(PLAIN)
    written, _ = import_onnx(source, tmp_path / "models", "plain")
    assert onnx.load(source) == onnx.load(written.path / "model.onnx")


def test_columns_are_named_as_asked(onnx_file, tmp_path):
    written, _ = import_onnx(onnx_file(PLAIN), tmp_path, "plain", column_names=["x", "y"])
    assert [column.name for column in written.manifest.columns] == ["x", "y"]


def test_column_names_tell_a_width_that_the_file_leaves_open(onnx_file, tmp_path):
    graph = PLAIN.replace("float[batch, 2]", "float[batch, width]")
    written, _ = import_onnx(onnx_file(graph), tmp_path, "plain", column_names=["x", "y"])
    assert written.manifest.instance_shape == (2,)
    with pytest.raises(Unservable, match="or name the columns"):
        import_onnx(onnx_file(graph), tmp_path, "plain")


@pytest.mark.parametrize("names", [["x"], ["x", "y", "z"], ["x", "x"], ["x", ""]])
def test_column_names_that_do_not_fit_are_refused(onnx_file, tmp_path, names):
    with pytest.raises(InvalidSetting, match="Expected 2 different column names"):
        import_onnx(onnx_file(PLAIN), tmp_path / "models", "plain", column_names=names)


def test_a_frozen_batch_is_made_free(onnx_file, tmp_path):
    written, _ = import_onnx(onnx_file(FROZEN), tmp_path, "frozen")
    assert written.manifest.inputs[0].shape == (-1, 2)
    assert written.manifest.outputs[0].shape == (-1, 3)
    assert answers(written.path, np.ones((7, 2)))[0].shape == (7, 3)


def test_a_batch_that_is_frozen_inside_is_refused_with_advice(onnx_file, tmp_path):
    with pytest.raises(Unservable, match="Export it with a dynamic batch axis") as caught:
        import_onnx(onnx_file(FROZEN_INSIDE), tmp_path / "models", "frozen")
    assert "Input shape:{1,2}, requested shape:{4,2}" in str(caught.value)
    assert "onnxruntime::" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_an_image_network_keeps_its_shape_and_has_no_columns(onnx_file, tmp_path):
    written, certificate = import_onnx(onnx_file(IMAGE), tmp_path, "image")
    assert written.manifest.inputs[0].shape == (-1, 1, 4, 4)
    assert written.manifest.columns == ()
    assert certificate.rows[0].verdict == "independent"
    assert answers(written.path, np.ones((3, 1, 4, 4)))[0].shape == (3, 4)
    assert verify(written.path).holds
    with pytest.raises(InvalidSetting, match="no columns to name"):
        import_onnx(onnx_file(IMAGE), tmp_path, "image", column_names=["x"])


def test_several_outputs_keep_their_names_and_types(onnx_file, tmp_path):
    written, _ = import_onnx(onnx_file(SEVERAL), tmp_path, "several")
    outputs = [(out.name, out.datatype, out.shape) for out in written.manifest.outputs]
    assert outputs == [("label", "INT64", (-1,)), ("scores", "FP32", (-1, 2))]
    assert verify(written.path).holds


@pytest.mark.parametrize("name", ["good-scaler-linear-classifier", "good-tree-ensemble"])
def test_a_classifier_with_labels_of_another_maker_is_taken(tmp_path, name):
    source = tmp_path / "model.onnx"
    source.write_bytes(case(name).read())
    written, _ = import_onnx(source, tmp_path / "models", "classical")
    assert verify(written.path).holds


IDENTITY = "net ({0} x) => ({0} y) {{ y = Identity(x) }}"


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (ZIPMAP, "export without ZipMap"),
        (
            PLAIN.replace("2] features)", "2] features, float[batch, 2] extra)"),
            r"one input \[batch, ...\], got 2 \(features, extra\)",
        ),
        (IDENTITY.format("double[batch, 2]"), "to be float32, got DOUBLE"),
        (IDENTITY.format("int64[batch, 2]"), "to be float32, got INT64"),
        (IDENTITY.format("string[batch, 2]"), "to be float32, got STRING"),
        (IDENTITY.format("float[batch]"), "got 1 dimension"),
        (IDENTITY.format("float[batch, h, w]"), "a fixed size"),
    ],
    ids=["ZipMap", "two inputs", "double", "int64", "string", "one axis", "open axes"],
)
def test_what_cannot_be_served_is_refused_with_what_to_do(onnx_file, tmp_path, graph, message):
    source = onnx_file(graph, opsets='"" : 18, "ai.onnx.ml" : 3')
    with pytest.raises(Unservable, match=message):
        import_onnx(source, tmp_path / "models", "odd")
    assert not (tmp_path / "models").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["legacy-training-opset-17", "dynamo-train"])
def test_a_model_in_training_mode_is_refused(tmp_path, name):
    source = tmp_path / "model.onnx"
    source.write_bytes(case(name).read())
    with pytest.raises(TrainingMode, match=r"model\.onnx is in training mode at"):
        import_onnx(source, tmp_path / "models", "training")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "operation",
    [
        "scores = Softmax<axis = 0>(features)",
        "mean = ReduceMean<keepdims = 1>(features, axes)\n scores = Sub(features, mean)",
        "scores = CumSum(features, axis)",
    ],
    ids=["softmax over the batch", "mean over the batch", "running sum"],
)
def test_a_model_that_mixes_rows_is_refused(onnx_file, tmp_path, operation):
    graph = f"""
    net (float[batch, 2] features) => (float[batch, 2] scores)
    <int64[1] axes = {{0}}, int64 axis = {{0}}>
    {{ {operation} }}
    """
    with pytest.raises(RowMixing, match="its own row of the input only"):
        import_onnx(onnx_file(graph), tmp_path / "models", "mixing")
    assert not (tmp_path / "models").exists()


def test_a_wrong_name_version_or_file_is_refused(onnx_file, tmp_path):
    source = onnx_file(PLAIN)
    with pytest.raises(InvalidSetting, match="name must be"):
        import_onnx(source, tmp_path, "../up")
    with pytest.raises(InvalidSetting, match="whole number from 1"):
        import_onnx(source, tmp_path, "plain", version=0)
    with pytest.raises(NotFound, match="cannot be read"):
        import_onnx(tmp_path / "nothing.onnx", tmp_path, "plain")
    source.write_bytes(b"not a model")
    with pytest.raises(Unreadable):
        import_onnx(source, tmp_path, "plain")


def test_versions_count_on_and_an_existing_one_is_not_overwritten(onnx_file, tmp_path):
    source = onnx_file(PLAIN)
    numbers = [import_onnx(source, tmp_path, "m")[0].manifest.version for _ in range(2)]
    assert numbers == [1, 2]
    with pytest.raises(AlreadyExists):
        import_onnx(source, tmp_path, "m", version=2)
    assert import_onnx(source, tmp_path, "m", version=9)[0].manifest.version == 9


def test_something_in_the_way_that_is_no_version_is_stepped_over(onnx_file, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1").write_text("a file")
    written, _ = import_onnx(onnx_file(PLAIN), tmp_path, "m")
    assert written.manifest.version == 2
    (tmp_path / "n").write_text("a file")
    with pytest.raises(LockstepError):
        import_onnx(onnx_file(PLAIN), tmp_path, "n")


def test_the_card_and_the_manifest_name_the_source(onnx_file, tmp_path):
    written, _ = import_onnx(onnx_file(PLAIN, name="theirs.onnx"), tmp_path, "plain")
    card = written.read("card.md").decode()
    assert "Imported from `theirs.onnx`" in card
    assert "- each row on its own, `scores`: holds" in card
    assert "producer" in json.loads((written.path / "manifest.json").read_bytes())["tools"]
