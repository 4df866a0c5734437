"""`lockstep audit` and `lockstep verify`."""

import json
import sys

import onnx
import pytest

from corpus import case
from hostile import hostile
from lockstep.artifact.folder import open_artifact

PLAIN = "net (float[n, 2] features) => (float[n, 2] scores) { scores = Softmax(features) }"


@pytest.fixture
def audited(artifact, tmp_path):
    """Model files by what an audit must say of them."""
    files = {"clean": artifact / "model.onnx", "frozen": artifact / "model.ts"}
    for word, name, suffix in (
        ("training", "batch-norm-opset-1", "onnx"),
        ("undecided", "dropout-flag-is-input", "onnx"),
        ("traced", "trace-train", "pt"),
    ):
        files[word] = tmp_path / f"{word}.{suffix}"
        files[word].write_bytes(case(name).read())
    files["garbage"] = tmp_path / "garbage.onnx"
    files["garbage"].write_bytes(b"garbage")
    files["nowhere"] = tmp_path / "nowhere.ts"
    files["picture"] = tmp_path / "picture.png"
    return files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["clean"], 0),
        (["frozen"], 0),
        (["clean", "frozen"], 0),
        (["training"], 1),
        (["undecided"], 1),
        (["traced"], 1),
        (["clean", "training", "clean"], 1),
        (["garbage"], 2),
        (["nowhere"], 2),
        (["picture"], 2),
        (["garbage", "training", "clean"], 2),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["for people", "as JSON"])
def test_an_audit_of_several_files_ends_with_the_worst(lockstep, audited, words, code, as_json):
    files = [audited[word] for word in words]
    found, out, err = lockstep("audit", *files, *(["--json"] if as_json else []))
    assert found == code
    assert (err != "") == (code == 2)
    if as_json:
        entries = json.loads(out)["files"]
        assert [entry["file"] for entry in entries] == [str(file) for file in files]
        clean = [entry["verdict"] == "clean" for entry in entries]
        assert all(clean) == (code == 0)
    else:
        for file in files:
            assert str(file) in out + err


def test_an_audit_names_the_node_and_says_what_to_do(lockstep, audited):
    _, out, _ = lockstep("audit", audited["training"])
    assert "training.onnx: training, " in out
    assert "BatchNormalization" in out


@pytest.mark.slow
def test_what_happens_to_one_file_costs_no_other_its_verdict(lockstep, audited, onnx_file):
    plain = onnx_file(PLAIN, name="plain.onnx")
    words = ["frozen", "nowhere", "garbage", "training"]
    files = [plain, *(audited[word] for word in words), plain]
    code, out, err = lockstep("audit", "--exact", "--json", *files)
    assert code == 64
    entries = json.loads(out)["files"]
    assert [entry["file"] for entry in entries] == [str(file) for file in files]
    verdicts = ["clean", "clean", "unreadable", "unreadable", "training", "clean"]
    assert [entry["verdict"] for entry in entries] == verdicts
    assert "off an .onnx file" in entries[1]["exactness"]["error"]
    assert [entry.get("kind") for entry in entries[2:4]] == ["NotFound", "Unreadable"]
    for entry in (entries[0], entries[5]):
        assert entry["exactness"]["verdict"] == "broken"
    assert len(err.splitlines()) == 3
    code, out, _ = lockstep("audit", "--exact", *files)
    assert code == 64
    assert out.count("plain.onnx: clean") == 2
    assert out.count("arithmetic: ") == 3


def test_without_torch_a_torchscript_file_is_unreadable_and_the_others_are_not(
    lockstep, audited, monkeypatch
):
    monkeypatch.setitem(sys.modules, "torch", None)
    files = [audited["training"], audited["frozen"], audited["clean"]]
    code, out, err = lockstep("audit", "--json", *files)
    assert code == 2
    entries = json.loads(out)["files"]
    assert [entry["verdict"] for entry in entries] == ["training", "unreadable", "clean"]
    assert entries[1]["kind"] == "EngineUnavailable"
    assert err == f"lockstep: {entries[1]['error']}\n"
    assert f"{audited['frozen']} needs torch, which is not installed; install" in err


@pytest.mark.slow
def test_a_file_that_does_harm_when_it_is_loaded_does_none_when_it_is_audited(lockstep, tmp_path):
    source, target = tmp_path / "theirs.pt", tmp_path / "target"
    source.write_bytes(hostile(f'self.held = torch.from_file("{target}", True, 16).fill_(7.0)'))
    code, out, err = lockstep("audit", source)
    assert (code, out) == (2, "")
    assert "not permitted" in err
    assert not target.exists()
    assert lockstep("audit", source, "--unconfined")[0] == 0  # of training mode there is none
    assert target.exists()


def test_names_in_a_file_move_no_cursor(lockstep, tmp_path):
    source = tmp_path / "theirs.onnx"
    model = onnx.load_from_string(case("batch-norm-opset-1").read())
    for node in model.graph.node:
        node.name = "\x1b[2J\ntheirs.onnx: clean"
    source.write_bytes(model.SerializeToString())
    code, out, _ = lockstep("audit", source)
    assert code == 1
    assert "\\x1b[2J\\ntheirs.onnx: clean" in out
    assert "\x1b" not in out


@pytest.mark.slow
def test_the_theorem_is_read_off_a_file_on_demand(lockstep, tmp_path):
    models = tmp_path / "models"
    words = ("--models", models, "--epochs", 2)
    assert lockstep("train", "wine", *words, "--name", "exact")[0] == 0
    code, out, _err = lockstep("audit", models / "exact/1/model.onnx", "--exact")
    assert code == 0
    assert "exact by construction" in out
    assert "bits to spare at" in out
    code, out, _err = lockstep("verify", models / "exact/1")
    assert code == 0
    assert "the same bits on every processor" in " ".join(out.split())
    assert lockstep("train", "wine", *words, "--precision", "float32", "--name", "single")[0] == 0
    code, out, _err = lockstep("audit", models / "single/1/model.onnx", "--exact")
    assert code == 1
    assert "The argument breaks at" in out
    code, _out, err = lockstep("audit", models / "single/1/model.ts", "--exact")
    assert code == 64
    assert "off an .onnx file" in err


def test_an_artifact_that_holds_is_verified(lockstep, artifact):
    code, out, err = lockstep("verify", artifact)
    assert (code, err) == (0, "")
    assert f"{artifact} holds" in out
    assert "onnx: equal, torchscript: equal" in out


def test_a_verification_as_json_is_one_document(lockstep, artifact):
    code, out, err = lockstep("verify", artifact, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["holds"] is True
    assert found["digest"] == open_artifact(artifact).digest
    assert set(found["certificate"]["engines"]) == {"onnx", "torchscript"}


@pytest.mark.parametrize(("file", "said_in"), [("card.md", "complaints"), ("model.onnx", "error")])
def test_what_does_not_hold_is_1_and_said_in_json_and_on_stderr(
    lockstep, artifact_copy, file, said_in
):
    (artifact_copy / file).write_bytes(b"other")
    code, out, err = lockstep("verify", artifact_copy, "--json")
    assert code == 1
    assert file in str(json.loads(out)[said_in])
    assert file in err


def test_what_is_no_artifact_is_2(lockstep, tmp_path):
    assert lockstep("verify", tmp_path)[0] == 2
    code, out, _ = lockstep("verify", tmp_path / "nothing", "--json")
    assert code == 2
    assert json.loads(out)["kind"] == "NotFound"
