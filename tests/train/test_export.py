import copy
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lockstep.artifact.folder import open_artifact
from lockstep.artifact.golden import Golden
from lockstep.errors import AlreadyExists, InvalidSetting, ParityBroken
from lockstep.proof.audit_onnx import audit_onnx
from lockstep.proof.certificate import Certificate
from lockstep.proof.verify import verify
from train import export as exporting
from train.card import write_card
from train.configuration.configuration import Configuration
from train.data.built_in import built_in
from train.evaluate import evaluate
from train.export import NetworkChanged, describe, export, to_onnx
from train.fit import fit
from train.network.digest import state_digest
from train.network.network import Answering


@pytest.fixture
def sealed(artifact):
    return open_artifact(artifact)


def test_a_network_in_training_mode_is_exported_in_eval_mode_and_left_as_it_was(wine, tmp_path):
    fitted, dataset, metrics, artifact = wine
    fitted.network.train()
    before = state_digest(fitted.network)
    written, _ = export(fitted, dataset, metrics, models=tmp_path, name="wine")
    assert written.read("model.onnx") == (artifact / "model.onnx").read_bytes()
    assert state_digest(fitted.network) == before
    assert fitted.network.training


def test_an_export_that_changes_the_live_network_is_refused(wine, tmp_path, monkeypatch):
    fitted, dataset, metrics, _ = wine
    kept = copy.deepcopy(fitted.network.state_dict())

    def careless(*_):
        fitted.network.blocks[0].norm.running_mean += 1
        return b""

    monkeypatch.setattr(exporting, "to_onnx", careless)
    with pytest.raises(NetworkChanged, match="state digest"):
        export(fitted, dataset, metrics, models=tmp_path, name="wine")
    fitted.network.load_state_dict(kept)
    assert not list(tmp_path.iterdir())


def test_files_that_disagree_are_refused_and_nothing_is_written(wine, tmp_path, monkeypatch):
    fitted, dataset, metrics, _ = wine

    def wrong(module, sample, output):
        spoiled = copy.deepcopy(module)
        spoiled.network.head.bias.data += torch.arange(3.0)
        return to_onnx(spoiled, sample, output)

    monkeypatch.setattr(exporting, "to_onnx", wrong)
    with pytest.raises(ParityBroken, match="eager and onnx differ by"):
        export(fitted, dataset, metrics, models=tmp_path, name="wine")
    assert not list(tmp_path.iterdir())


def test_an_export_says_nothing_and_warns_of_nothing(wine, tmp_path, capfd):
    fitted, dataset, metrics, _ = wine
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export(fitted, dataset, metrics, models=tmp_path, name="wine")
    assert capfd.readouterr() == ("", "")
    assert not caught


def test_the_onnx_file_has_a_batch_of_any_size_and_only_operators_of_inference(sealed):
    model = onnx.load_model_from_string(sealed.read("model.onnx"))
    features = model.graph.input[0]
    assert features.name == "features"
    assert features.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [output.name for output in model.graph.output] == ["probabilities"]
    assert model.opset_import[0].version >= 18
    assert {node.op_type for node in model.graph.node} <= {"Sub", "Div", "Gemm", "Relu", "Softmax"}
    assert audit_onnx(model).verdict == "clean"


@pytest.mark.parametrize("file", ["model.onnx", "model.ts", "card.md", "manifest.json"])
def test_no_path_of_the_exporting_machine_travels_in_a_file(artifact, file):
    content = (artifact / file).read_bytes()
    root = Path(exporting.__file__).parents[1]
    assert str(root).encode() not in content
    assert b"network.py" not in content


def test_the_golden_reference_is_what_the_eager_network_answers(wine, sealed):
    golden = Golden.from_bytes(sealed.read("golden.npz"))
    eager = Answering(copy.deepcopy(wine.fit.network)).eval()
    with torch.inference_mode():
        answers = eager(torch.from_numpy(golden.features)).numpy()
    assert np.array_equal(golden.reference["probabilities"], answers)
    assert len(golden.features) >= 64
    assert set(golden.engines) == {"onnx", "torchscript"}


def test_the_manifest_describes_the_training_split_and_the_held_out_figures(wine):
    fitted, dataset, metrics, _ = wine
    manifest = describe(fitted, dataset, metrics, "wine")
    column = manifest.columns[0]
    assert column.name == dataset.column_names[0]
    assert column.statistics.mean == pytest.approx(float(dataset.train.features[:, 0].mean()))
    assert column.statistics.maximum == float(dataset.train.features[:, 0].max())
    assert manifest.classes == dataset.classes
    assert manifest.metrics["accuracy"] == metrics.accuracy
    assert manifest.training["configuration"]["training"]["seed"] == 0
    assert manifest.training["rows"]["test"] == len(dataset.test)


def test_a_regression_answers_in_the_targets_own_units(diabetes):
    sealed = open_artifact(diabetes.path)
    manifest = sealed.manifest
    golden = Golden.from_bytes(sealed.read("golden.npz"))
    assert manifest.task == "regression"
    assert manifest.classes is None
    assert manifest.outputs[0].shape == (-1, 1)
    assert golden.reference["prediction"][:64].mean() == pytest.approx(
        diabetes.dataset.train.targets.mean(), rel=0.5
    )


@pytest.mark.parametrize(
    "network",
    [
        {"hidden": [8], "batch_norm": False},
        {"hidden": [12, 5], "activation": "gelu", "input_dropout": 0.1, "output_dropout": 0.3},
        {"hidden": [7, 5, 3], "activation": "elu", "dropout": [0.5, 0.0, 0.2]},
    ],
    ids=["one block without BatchNorm", "gelu and every Dropout", "elu"],
)
def test_every_shape_of_network_is_exported_and_proved(network, tmp_path):
    dataset = built_in("wine", 1)
    configuration = Configuration.model_validate({"network": network, "training": {"epochs": 1}})
    fitted = fit(configuration, dataset)
    metrics = evaluate(fitted.network, dataset.test)
    written, certificate = export(fitted, dataset, metrics, models=tmp_path, name="wine")
    assert [verdict.verdict for verdict in certificate.rows] == ["independent"]
    assert all(parity.holds for parity in certificate.parity)
    assert verify(written.path).holds


def test_versions_count_on_and_an_existing_one_is_not_overwritten(wine, artifact_copy, monkeypatch):
    fitted, dataset, metrics, _ = wine
    monkeypatch.setattr(
        exporting, "to_onnx", lambda *_: (artifact_copy / "model.onnx").read_bytes()
    )
    before = open_artifact(artifact_copy).digest
    wanted = {"models": artifact_copy.parent.parent, "name": "wine"}
    written, _ = export(fitted, dataset, metrics, **wanted)
    assert written.manifest.version == 2
    with pytest.raises(AlreadyExists, match="never overwritten"):
        export(fitted, dataset, metrics, version=1, **wanted)
    assert open_artifact(artifact_copy).digest == before


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65])
def test_a_name_that_is_no_folder_name_is_refused(wine, tmp_path, name):
    fitted, dataset, metrics, _ = wine
    with pytest.raises(InvalidSetting, match="name must be"):
        export(fitted, dataset, metrics, models=tmp_path, name=name)


def test_the_card_is_the_same_text_for_the_same_arguments(wine, sealed):
    certificate = Certificate.from_bytes(sealed.read("certificate.json"))
    cards = {
        write_card(sealed.manifest, certificate, wine.fit, "report/curves.png") for _ in range(2)
    }
    assert cards == {sealed.read("card.md").decode()}


def test_the_card_says_what_a_person_must_know(sealed):
    card = sealed.read("card.md").decode()
    for wanted in (
        "# wine, version 1",
        "class_0, class_1, class_2",
        "| `alcohol` |",
        "| accuracy |",
        "The best epoch is",
        "(report/curves.png)",
        "| network.hidden | 16, 8 |",
        "| inference mode | `model.onnx` | clean",
        "lockstep predict models/wine/1",
    ):
        assert wanted in card
    assert sealed.read("report/curves.png").startswith(b"\x89PNG")
