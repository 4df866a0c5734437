"""`lockstep import`."""

import json

from corpus import case
from lockstep.artifact.folder import open_artifact

PLAIN = "net (float[n, 2] features) => (float[n, 2] scores) { scores = Softmax(features) }"


def test_a_model_is_brought_in_and_verified(lockstep, onnx_file, tmp_path):
    source, models = onnx_file(PLAIN), tmp_path / "models"
    code, out, err = lockstep(
        "import", source, "--name", "m", "--models", models, "--columns", "x, y"
    )
    assert (code, err) == (0, "")
    assert f"written to {models}/m/1" in out
    code, out, _ = lockstep(
        "import", source, "--name", "m", "--models", models, "--version", 7, "--json"
    )
    document = json.loads(out)
    assert code == 0
    assert document["path"] == str(models / "m" / "7")
    assert document["certificate"]["rows"][0]["verdict"] == "independent"
    columns = open_artifact(models / "m" / "1").manifest.columns
    assert [column.name for column in columns] == ["x", "y"]


def test_a_refused_import_is_a_document_too(lockstep, tmp_path):
    source = tmp_path / "bad.onnx"
    source.write_bytes(case("batch-norm-opset-1").read())
    code, out, err = lockstep("import", source, "--name", "m", "--models", tmp_path, "--json")
    assert code == 1
    assert json.loads(out)["kind"] == "TrainingMode"
    assert "bad.onnx is in training mode" in err
