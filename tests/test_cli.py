import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from rich.console import Console

from corpus import case
from hostile import hostile
from lockstep import errors
from lockstep.artifact.folder import open_artifact
from lockstep.cli import exit_codes
from lockstep.cli.main import app, main
from lockstep.errors import LockstepError
from lockstep_service.settings import Settings
from lockstep_train.fit.curves import Epoch
from lockstep_train.progress import follow

ROOT = Path(__file__).parents[1]
PLAIN = "net (float[n, 2] features) => (float[n, 2] scores) { scores = Softmax(features) }"


@pytest.fixture
def table(wine, tmp_path):
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [wine.dataset.column_names, *wine.dataset.test.features[:4].tolist()]
        )
    return path


@pytest.fixture
def lockstep(capsys, monkeypatch):
    """Runs a command line: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def fresh(script, *, expect=0):
    """Run Python statements in an interpreter of their own."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stderr
    return done.stdout


# -- exit codes --------------------------------------------------------------------------------


def every(kind):
    return [kind, *(below for child in kind.__subclasses__() for below in every(child))]


def test_every_error_that_is_raised_on_purpose_has_an_exit_code():
    for kind in every(LockstepError):
        # Those of the service become HTTP, or the 3 of its process.
        served = kind.__module__.startswith("lockstep_service.")
        if kind is not LockstepError and not served:
            assert any(issubclass(kind, known) for known, _ in exit_codes.TABLE), kind


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("Unreadable", 2),
        ("NotFound", 2),
        ("InvalidInstances", 2),
        ("Disproved", 1),
        ("DigestMismatch", 1),
        ("TrainingMode", 1),
        ("RowMixing", 1),
        ("Unrepeatable", 1),
        ("ParityBroken", 1),
        ("Unservable", 1),
        ("EngineFailure", 1),
        ("InvalidSetting", 64),
        ("AlreadyExists", 64),
        ("EngineUnavailable", 64),
    ],
)
def test_an_error_becomes_its_exit_code_and_one_sentence(lockstep, monkeypatch, kind, code):
    arguments = ([],) if kind == "InvalidInstances" else ("Expected this, got that.",)
    error = getattr(errors, kind)(*arguments)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("lockstep.proof.verify.verify", fail)
    assert lockstep("verify", "models/digits/1") == (code, "", f"lockstep: {error}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("train",),
        ("train", "digits", "--nope"),
        ("train", "digits", "--seed", "x"),
        ("train", "digits", "--name", "a/b"),
        ("train", "digitss"),
        ("train", "digits", "--epochs", "0"),
        ("audit",),
        ("verify",),
        ("import", "x.onnx"),
        ("predict", "models/digits/1"),
        ("predict", "models/digits/1", "t.csv", "--engine", "fast"),
        ("serve", "--port", "many"),
        ("serve", "--port", "70000"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_64_and_a_sentence(lockstep, arguments):
    code, _, err = lockstep(*arguments)
    assert code == 64
    assert err.startswith("lockstep: ")


def test_an_interruption_is_130_and_a_sentence(lockstep, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lockstep.proof.verify.verify", interrupted)
    assert lockstep("verify", "x") == (130, "", "lockstep: Interrupted.\n")


def test_what_was_not_foreseen_is_not_hidden(monkeypatch):
    def defect(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("lockstep.proof.verify.verify", defect)
    with pytest.raises(ZeroDivisionError):
        main(["verify", "x"])


def test_version_and_help_are_no_errors(lockstep):
    code, out, _ = lockstep("--version")
    assert code == 0
    assert out.startswith("lockstep ")
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    for command in ((), *((name,) for name in commands)):
        code, out, err = lockstep(*command, "--help")
        assert (code, err) == (0, "")
        assert "Usage: lockstep" in out


# -- what is imported --------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["--version"]])
def test_help_imports_neither_torch_nor_the_engines(arguments):
    fresh(
        f"import sys; from lockstep.cli.main import main; assert main({arguments}) == 0\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'fastapi', 'polars'} & sys.modules.keys()"
        if arguments != ["--version"]
        else f"import sys; from lockstep.cli.main import main; assert main({arguments}) == 0\n"
        "assert 'torch' not in sys.modules"
    )


def test_serving_and_scoring_import_no_torch_and_no_table_reader(models, table):
    fresh(
        "import sys, lockstep_service.process.server\nfrom lockstep.cli.main import main\n"
        "lockstep_service.process.server.run = lambda settings: 0\n"
        f"assert main(['serve', '--models', {str(models)!r}]) == 0\n"
        f"assert main(['predict', {str(models / 'wine' / '1')!r}, {str(table)!r}]) == 0\n"
        "assert not {'torch', 'polars', 'lockstep_train'} & sys.modules.keys()"
    )


def test_a_wrong_name_is_refused_before_torch_is_imported():
    fresh(
        "import sys\nfrom lockstep.cli.main import main\n"
        "assert main(['train', 'digits', '--name', 'a/b']) == 64\n"
        "assert 'torch' not in sys.modules"
    )


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


# -- train -------------------------------------------------------------------------------------


@pytest.fixture
def people(tmp_path):
    """A table with words, numbers, truth and missing values, whose answer can be learned."""
    draw = np.random.default_rng(5)
    path = tmp_path / "people.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "colour", "member", "height", "answer"])
        for _ in range(240):
            age, colour = draw.normal(40, 10), draw.choice(["red", "green", "blue"])
            answer = "yes" if (age > 40) == (colour != "red") else "no"
            shown = "" if draw.random() < 0.1 else f"{age:.2f}"
            word = "?" if draw.random() < 0.1 else colour
            member = draw.choice(["true", "false"])
            writer.writerow([shown, word, member, f"{draw.normal():.3f}", answer])
    return path


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


def epoch(number):
    return Epoch(number, 1e-3, 0.5, 0.6, 0.9, 0.8, 0.1)


def test_a_terminal_sees_one_bar_and_a_log_a_few_lines(capsys):
    with follow(Console(force_terminal=True, width=100), 40) as on_epoch:
        for number in range(1, 31):
            on_epoch(epoch(number))
    shown = capsys.readouterr().out
    assert "30/30" in shown
    assert "loss 0.5000, validation loss 0.6000" in shown
    with follow(Console(width=100), 40) as on_epoch:
        for number in range(1, 41):
            on_epoch(epoch(number))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[0] == "epoch 1/40: loss 0.5000, validation loss 0.6000"


# -- audit -------------------------------------------------------------------------------------


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


# -- verify and import -------------------------------------------------------------------------


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


# -- predict and serve -------------------------------------------------------------------------


def test_predictions_go_to_stdout_or_a_file_with_the_same_text(lockstep, artifact, table, tmp_path):
    code, out, err = lockstep("predict", artifact, table)
    assert (code, err) == (0, "")
    assert out.startswith("label,probability_class_0,")
    code, nothing, _ = lockstep("predict", artifact, table, "-o", tmp_path / "answers.csv")
    assert (code, nothing) == (0, "")
    assert (tmp_path / "answers.csv").read_text() == out
    probabilities = [row.split(",")[1:] for row in out.splitlines()[1:]]
    assert np.array(probabilities).astype(np.float32).sum(axis=1) == pytest.approx(1)


def test_a_table_that_cannot_be_scored_is_2(lockstep, artifact, table):
    table.write_text(table.read_text().replace("alcohol", "spirit"))
    code, out, err = lockstep("predict", artifact, table)
    assert (code, out) == (2, "")
    assert "lacks 1 of the network's 13 columns: alcohol." in err


def test_a_note_goes_to_stderr(lockstep, artifact, table):
    lines = table.read_text().splitlines()
    table.write_text("\n".join(f"{line},1" for line in lines).replace("proline,1", "proline,extra"))
    code, _, err = lockstep("predict", artifact, table)
    assert code == 0
    assert err.startswith("lockstep: note: ")


@pytest.fixture
def started(monkeypatch):
    """The settings that the service was started with."""
    seen = []

    def run(settings):
        seen.append(settings)
        return 3

    monkeypatch.setattr("lockstep_service.process.server.run", run)
    return seen


def test_flags_win_over_the_environment_and_the_exit_code_is_the_services(
    lockstep, started, monkeypatch, tmp_path
):
    monkeypatch.setenv("LOCKSTEP_PORT", "9000")
    monkeypatch.setenv("LOCKSTEP_HOST", "127.0.0.2")
    code, *_ = lockstep(
        "serve", "--models", tmp_path, "--port", 9001, "--engine", "torchscript", "--example"
    )
    assert code == 3
    settings = started[0]
    assert (settings.models, settings.port, settings.host) == (tmp_path, 9001, "127.0.0.2")
    assert (settings.engine, settings.example) == ("torchscript", True)


def test_without_flags_everything_is_left_to_the_environment(lockstep, started, monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LOCKSTEP_{name.upper()}", raising=False)
    monkeypatch.setenv("LOCKSTEP_EXAMPLE", "true")
    lockstep("serve")
    assert started[0].example is True
    assert started[0].port == Settings.model_fields["port"].default


def test_a_service_with_nothing_to_serve_ends_with_3_and_a_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lockstep", "serve", "--models", str(tmp_path), "--port", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 3
    assert "lockstep: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_stands_on_the_public_names_of_typer():
    assert issubclass(typer.BadParameter, typer.TyperException)
