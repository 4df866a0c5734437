import copy
import dataclasses
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import lockstep_train
from lockstep.artifact.encoding import check_features
from lockstep.artifact.folder import open_artifact
from lockstep.artifact.golden import Golden
from lockstep.engine.engine import MODEL_FILES, open_engine
from lockstep.engine.torchscript import freeze
from lockstep.errors import AlreadyExists, InvalidSetting, ParityBroken
from lockstep.proof.audit.onnx import audit_onnx
from lockstep.proof.verify import verify
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.evaluate import baseline, evaluate, temperature_of
from lockstep_train.export.export import NetworkChanged, export
from lockstep_train.export.manifest import manifest_of
from lockstep_train.export.onnx_file import to_onnx
from lockstep_train.fit.fit import fit
from lockstep_train.network.digest import state_digest
from lockstep_train.network.network import Answering

pytestmark = pytest.mark.slow


@pytest.fixture
def sealed(artifact):
    return open_artifact(artifact)


def norm_of(network):
    return next(part for part in network.modules() if isinstance(part, torch.nn.BatchNorm1d))


@pytest.mark.slow
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
        norm_of(fitted.network).running_mean += 1
        return b""

    monkeypatch.setattr("lockstep_train.export.export.to_onnx", careless)
    with pytest.raises(NetworkChanged, match="state digest"):
        export(fitted, dataset, metrics, models=tmp_path, name="wine")
    fitted.network.load_state_dict(kept)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_files_that_disagree_are_refused_and_nothing_is_written(wine, tmp_path, monkeypatch):
    fitted, dataset, metrics, _ = wine

    def wrong(module, sample, output):
        spoiled = copy.deepcopy(module)
        spoiled.network.members[0].head.bias.data += torch.arange(3.0)
        return to_onnx(spoiled, sample, output)

    monkeypatch.setattr("lockstep_train.export.export.to_onnx", wrong)
    with pytest.raises(ParityBroken, match="eager and onnx differ by"):
        export(fitted, dataset, metrics, models=tmp_path, name="wine")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_files_that_disagree_on_one_row_of_the_test_split_are_refused(wine, tmp_path, monkeypatch):
    """The golden rows are alike in both forms: only the test split holds the row that is not."""
    fitted, dataset, metrics, _ = wine
    far = dataset.test.features.copy()
    far[7, 0] = 1e6
    test = dataclasses.replace(dataset.test, features=far)

    class Bent(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, features):
            return self.module(features) + (features[:, :1] > 1e5).float() * 0.01

    monkeypatch.setattr(
        "lockstep_train.export.export.to_onnx",
        lambda module, *rest: to_onnx(Bent(module).eval(), *rest),
    )
    with pytest.raises(ParityBroken, match="on every row of the test split, more than 1e-05"):
        export(
            fitted,
            dataclasses.replace(dataset, test=test),
            metrics,
            models=tmp_path,
            name="wine",
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "file", ["model.onnx", "model.ts", "card.md", "manifest.json", "report/index.html"]
)
def test_no_path_of_the_exporting_machine_travels_in_a_file(artifact, file):
    content = (artifact / file).read_bytes()
    root = Path(lockstep_train.__file__).parent
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
    manifest = manifest_of(fitted, dataset, metrics, "wine")
    column = manifest.columns[0]
    assert column.name == dataset.column_names[0]
    assert column.statistics.mean == pytest.approx(float(dataset.train.features[:, 0].mean()))
    assert column.statistics.maximum == float(dataset.train.features[:, 0].max())
    assert manifest.classes == dataset.classes
    assert manifest.metrics["accuracy"] == metrics.accuracy
    assert manifest.training["configuration"]["training"]["seed"] == 0
    assert manifest.training["rows"]["test"] == len(dataset.test)


def test_the_manifest_states_parity_on_every_row_of_the_test_split(sealed, wine):
    groups = sealed.manifest.training["parity"]
    assert [group["of"] for group in groups] == ["every row of the test split"]
    pairs = groups[0]["parity"]
    assert [(pair["left"], pair["right"]) for pair in pairs] == [
        ("eager", "onnx"),
        ("eager", "torchscript"),
        ("onnx", "torchscript"),
    ]
    assert all(pair["rows"] == len(wine.dataset.test) and pair["holds"] for pair in pairs)
    assert all(pair["max_abs"] <= pair["bound"] for pair in pairs)


def test_the_manifest_states_what_the_answer_without_any_column_is_worth(sealed, wine):
    stated = sealed.manifest.training["baseline"]
    assert stated == baseline(wine.dataset).as_dict()
    assert stated.keys() == sealed.manifest.metrics.keys()


def test_categories_missing_values_and_codes_that_mean_nothing_are_proved(untrusted):
    artifact, dataset = untrusted.artifact, untrusted.dataset
    assert artifact.manifest.columns == dataset.columns
    assert artifact.manifest.training["notes"] == list(dataset.notes)
    groups = artifact.manifest.training["parity"]
    assert [group["of"] for group in groups] == [
        "every row of the test split",
        "rows whose codes mean nothing",
    ]
    features = Golden.from_bytes(artifact.read("golden.npz")).features
    check_features(features, dataset.columns)
    assert np.isnan(features[:, [0, 3, 4]]).any(axis=0).all()
    assert 3 in features[:, 2]
    assert 20 in features[:, 3]
    assert verify(artifact.path).holds


@pytest.mark.slow
def test_the_temperature_is_in_both_files(untrusted):
    artifact, dataset = untrusted.artifact, untrusted.dataset
    sharper = copy.deepcopy(untrusted.fit.network)
    temperature_of(sharper).fill_(0.5)
    eager = Answering(sharper).eval()
    features = dataset.test.features[:8]
    with torch.inference_mode():
        expected = eager(torch.from_numpy(features)).numpy()
    files = {
        "onnx": to_onnx(eager, features, "probabilities"),
        "torchscript": freeze(eager, features),
    }
    for name, file in files.items():
        engine = open_engine(name, file, artifact.manifest.outputs)
        np.testing.assert_allclose(engine.run(features)[0], expected, atol=1e-6)
        sealed = open_engine(name, artifact.read(MODEL_FILES[name]), artifact.manifest.outputs).run(
            features
        )[0]
        assert not np.allclose(sealed, expected, atol=1e-3)


def test_the_manifest_states_how_calibration_changed_the_figures(untrusted):
    stated = untrusted.artifact.manifest.training["calibration"]
    found = untrusted.calibration
    assert stated["temperature"] == found.temperature
    assert stated["note"] == found.note
    assert stated["validation"]["before"] == dataclasses.asdict(found.before)
    assert stated["validation"]["after"] == dataclasses.asdict(found.after)
    figures = untrusted.artifact.manifest.metrics
    after = stated["test"]["after"]
    assert after == {name: figures[name] for name in ("ece", "brier", "log_loss")}


def test_a_network_that_nobody_calibrated_has_no_such_figures(sealed, diabetes):
    assert sealed.manifest.training["calibration"] is None
    assert open_artifact(diabetes.path).manifest.training["calibration"] is None


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_versions_count_on_and_an_existing_one_is_not_overwritten(wine, artifact_copy, monkeypatch):
    fitted, dataset, metrics, _ = wine
    monkeypatch.setattr(
        "lockstep_train.export.export.to_onnx",
        lambda *_: (artifact_copy / "model.onnx").read_bytes(),
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


def test_the_papers_are_a_card_a_picture_and_a_page(sealed):
    assert sealed.read("card.md").startswith(b"# wine, version 1\n")
    assert sealed.read("report/curves.png").startswith(b"\x89PNG")
    assert sealed.read("report/index.html").lstrip().startswith(b"<!doctype html>")
    assert not sealed.changed_papers()
