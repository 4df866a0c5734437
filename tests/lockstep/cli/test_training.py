"""`lockstep train` and `lockstep tune`."""

import pytest

from lockstep.artifact.folder import open_artifact

pytestmark = pytest.mark.slow


def test_a_table_of_ones_own_is_trained_proved_and_scored(lockstep, people, tmp_path):
    models = tmp_path / "models"
    words = ("--target", "answer", "--models", models, "--epochs", 4)
    code, out, err = lockstep("train", people, *words)
    assert (code, err) == (0, "")
    assert "categorical" in out
    assert "boolean" in out
    assert "Proved and written to" in out
    artifact = open_artifact(models / "people" / "1")
    kinds = {column.name: column.kind for column in artifact.manifest.columns}
    assert kinds == {
        "age": "numeric",
        "colour": "categorical",
        "member": "boolean",
        "height": "numeric",
    }
    missing = {column.name for column in artifact.manifest.columns if column.missing_allowed}
    assert missing == {"age", "colour"}
    code, out, err = lockstep("predict", models / "people" / "1", people)
    assert code == 0
    assert out.splitlines()[0] == "label,probability_no,probability_yes"
    assert len(out.splitlines()) == 241


def test_folds_are_measured_and_their_answers_written(lockstep, people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--target", "answer", "--epochs", 2, "--folds", 3)
    code, out, err = lockstep("train", people, *words)
    assert (code, err) == (0, "")
    assert "mean ± deviation" in out
    assert not (tmp_path / "models").exists()
    answers = (tmp_path / ".lockstep/folds/people.csv").read_text().splitlines()
    assert len(answers) == 241
    code, out, err = lockstep("train", people, *words, "--fold-ensemble")
    assert (code, err) == (0, "")
    assert (tmp_path / "models/people/1/model.onnx").exists()


def test_an_interrupted_training_is_resumed_only_where_there_is_one(lockstep, people, tmp_path):
    words = ("--target", "answer", "--models", tmp_path / "models", "--name", "never", "--resume")
    code, _out, err = lockstep("train", people, *words)
    assert code == 2
    assert "checkpoint" in err


def test_what_is_found_by_a_search_is_trained_with(lockstep, people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--target", "answer", "--epochs", 2)
    code, out, err = lockstep("tune", people, *words, "--trials", 2)
    assert (code, err) == (0, "")
    assert "Train with it: lockstep train" in out
    assert (tmp_path / "people.png").stat().st_size > 1000
    code, out, err = lockstep("train", people, *words, "--config", tmp_path / "people.toml")
    assert (code, err) == (0, "")


def test_a_target_that_is_not_there_is_refused_with_the_columns(lockstep, people):
    code, _out, err = lockstep("train", people)
    assert code == 64
    assert "--target" in err
    code, _out, err = lockstep("train", people, "--target", "anwser")
    assert code == 64
    assert "answer" in err


def test_training_shows_curves_and_certificate_and_what_to_do_next(lockstep, tmp_path):
    models = tmp_path / "models"
    code, out, err = lockstep(
        "train", "wine", "--name", "cellar", "--models", models, "--epochs", 3, "--seed", 7
    )
    assert (code, err) == (0, "")
    for wanted in (
        "epoch 1/3: loss ",
        "validation loss",
        "The best epoch is",
        "rows of the held-out test split: accuracy",
        "inference mode",
        "eager = torchscript",
        "batch-invariant",
        f"Proved and written to {models}/cellar/1",
        f"Serve it: lockstep serve --models {models}",
    ):
        assert wanted in out
    manifest = open_artifact(models / "cellar" / "1").manifest
    assert manifest.training["configuration"]["training"]["seed"] == 7
    assert manifest.training["epochs"] <= 3


def test_settings_come_from_a_file_and_flags_win(lockstep, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[network]\nhidden = [4]\n[training]\nepochs = 50\nseed = 5\n")
    code, *_ = lockstep("train", "wine", "--models", tmp_path, "--config", settings, "--epochs", 1)
    assert code == 0
    configuration = open_artifact(tmp_path / "wine" / "1").manifest.training["configuration"]
    assert configuration["network"]["hidden"] == [4]
    assert (configuration["training"]["epochs"], configuration["training"]["seed"]) == (1, 5)


@pytest.mark.parametrize(
    ("content", "code"), [("[training]\nepoch = 3\n", 64), ("not toml", 2), (None, 2)]
)
def test_a_settings_file_that_is_wrong_is_refused(lockstep, tmp_path, content, code):
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_text(content)
    found, _, err = lockstep("train", "wine", "--models", tmp_path, "--config", path)
    assert found == code
    assert "settings.toml" in err


def test_a_models_folder_that_cannot_be_written_is_refused_beforehand(lockstep, tmp_path):
    (tmp_path / "models").write_text("a file")
    code, _, err = lockstep("train", "digits", "--models", tmp_path / "models")
    assert code == 64
    assert "to be a folder" in err
