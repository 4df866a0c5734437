"""Who is heard when several say where to listen and what to serve."""

import pytest

from lockstep.errors import InvalidSetting
from lockstep_service import settings as module
from lockstep_service.settings import PREFIX, Settings, load_settings


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """Nobody speaks but the test; nothing is mounted."""
    for name in (*module.PORT_VARIABLES, *module.MODEL_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    for field in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{field.upper()}", raising=False)
    mounted = (tmp_path / "opt-ml-model", tmp_path / "mnt-models")
    monkeypatch.setattr(module, "MOUNTED_MODELS", mounted)
    return mounted


def set_all(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_the_defaults_are_those_of_the_design():
    defaults = load_settings()
    assert (defaults.port, str(defaults.models), defaults.engine) == (8080, "models", "onnx")


PORTS = ["--port", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT", "PORT", "LOCKSTEP_PORT"]


@pytest.mark.parametrize("first", range(len(PORTS)), ids=PORTS)
def test_the_port_is_the_word_of_the_first_of_those_who_speak(monkeypatch, first):
    speaking = {name: str(9000 + i) for i, name in enumerate(PORTS) if i >= first}
    flag = speaking.pop("--port", None)
    set_all(monkeypatch, speaking)
    assert load_settings(port=flag and int(flag)).port == 9000 + first


def test_the_models_folder_is_the_word_of_the_first_of_those_who_speak(monkeypatch, quiet):
    for folder in quiet:
        folder.mkdir()
    assert str(load_settings().models) == "models"  # the mounted ones are empty
    (quiet[1] / "wine").mkdir()
    assert load_settings().models == quiet[1]
    (quiet[0] / "wine").mkdir()
    assert load_settings().models == quiet[0]
    monkeypatch.setenv("LOCKSTEP_MODELS", "told")
    assert str(load_settings().models) == "told"
    monkeypatch.setenv("AZUREML_MODEL_DIR", "azure")
    assert str(load_settings().models) == "azure"
    assert str(load_settings(models="flag").models) == "flag"


def test_a_file_or_a_closed_door_where_models_are_mounted_is_passed_over(quiet):
    quiet[0].write_text("no folder")
    assert str(load_settings().models) == "models"


def test_a_service_of_kubernetes_named_lockstep_does_not_set_the_port(monkeypatch):
    set_all(
        monkeypatch,
        {
            "LOCKSTEP_PORT": "tcp://10.96.0.11:80",
            "LOCKSTEP_PORT_80_TCP": "tcp://10.96.0.11:80",
            "LOCKSTEP_PORT_80_TCP_PROTO": "tcp",
            "LOCKSTEP_PORT_80_TCP_PORT": "80",
            "LOCKSTEP_PORT_80_TCP_ADDR": "10.96.0.11",
            "LOCKSTEP_SERVICE_HOST": "10.96.0.11",
            "LOCKSTEP_SERVICE_PORT": "80",
        },
    )
    settings = load_settings()
    assert (settings.port, settings.host) == (8080, "0.0.0.0")  # noqa: S104 - the default


@pytest.mark.parametrize("name", ["LOCKSTEP_PORT", "PORT", "LOCKSTEP_ENGINE", "LOCKSTEP_MODELS"])
def test_an_empty_variable_is_one_that_is_not_set(monkeypatch, name):
    monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOCKSTEP_PORT", "http"),
        ("LOCKSTEP_PORT", "65536"),
        ("LOCKSTEP_PORT", "-1"),
        ("AIP_HTTP_PORT", "eighty"),
        ("SAGEMAKER_BIND_TO_PORT", "8080.5"),
        ("PORT", "99999"),
        ("LOCKSTEP_ENGINE", "tensorflow"),
        ("LOCKSTEP_THREADS", "0"),
        ("LOCKSTEP_MAX_BATCH_ROWS", "0"),
        ("LOCKSTEP_MAX_QUEUE_ROWS", "many"),
        ("LOCKSTEP_BODY_LIMIT_BYTES", "64MB"),
        ("LOCKSTEP_TIMEOUT_MS", "0"),
        ("LOCKSTEP_PROOF_BUDGET_S", "nan"),
        ("LOCKSTEP_DRAIN_S", "-1"),
        ("LOCKSTEP_LOG_LEVEL", "loud"),
        ("LOCKSTEP_EXAMPLE", "perhaps"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_who_said_it(
    monkeypatch, name, value
):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting) as refusal:
        load_settings()
    assert str(refusal.value).startswith(f"{name} is wrong: ")
    assert str(refusal.value).endswith(f"however: {value!r}.")


def test_a_flag_that_makes_no_sense_is_refused_by_its_name(monkeypatch):
    monkeypatch.setenv("LOCKSTEP_PORT", "also wrong")
    with pytest.raises(InvalidSetting, match=r"^--port is wrong: .* however: '70000'"):
        load_settings(port=70000)
    monkeypatch.delenv("LOCKSTEP_PORT")
    with pytest.raises(InvalidSetting, match=r"^--max-batch-rows is wrong"):
        load_settings(max_batch_rows=-5)


def test_no_env_file_is_read_behind_anybodys_back(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("LOCKSTEP_PORT=1234\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().port == 8080


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1


def test_each_setting_has_a_line_of_help():
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
