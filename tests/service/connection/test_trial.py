"""On a uvicorn that is not what it was, the service answers over ASGI, and says so in the log."""

import json
import logging
import shutil
import sys
from pathlib import Path

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl

from lockstep_service.connection import trial
from lockstep_service.connection.connection import Connection
from lockstep_service.process.server import configure
from serving import ROOT, golden_rows, post, serving

pytestmark = pytest.mark.slow


def fault():
    return trial.fault_of(lambda app: configure(app, "httptools", 1))


class Gone:
    """A field that uvicorn has no longer."""

    def __init__(self, name):
        self.name = name

    def __get__(self, instance, owner=None):
        raise AttributeError(f"no {self.name}")

    def __set__(self, instance, value):
        pass


def test_the_uvicorn_that_is_installed_has_no_fault(caplog):
    with caplog.at_level(logging.DEBUG):
        assert fault() is None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "field", ["cycle", "flow", "parser", "url", "headers", "server_state", "loop"]
)
def test_a_field_that_is_gone_is_a_fault_that_names_it(monkeypatch, caplog, field):
    monkeypatch.setattr(Connection, field, Gone(field), raising=False)
    assert f"AttributeError: no {field}" in fault()
    assert not caplog.records


@pytest.mark.parametrize(
    "field", ["read_paused", "write_paused", "pause_reading", "resume_reading"]
)
def test_a_field_of_the_flow_that_is_gone_is_a_fault(monkeypatch, field):
    monkeypatch.setattr(httptools_impl.FlowControl, field, Gone(field), raising=False)
    assert f"AttributeError: no {field}" in fault()


def nothing(*_):
    """What uvicorn calls no longer, or does no longer."""


@pytest.mark.parametrize(
    "method",
    [
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "on_response_complete",
        "shutdown",
        "connection_lost",
    ],
)
def test_a_method_that_does_nothing_any_more_is_a_fault(monkeypatch, method):
    monkeypatch.setattr(trial, "LONGEST_S", 0.3)
    monkeypatch.setattr(Connection, method, nothing)
    assert fault()


def test_a_queue_of_pipelined_requests_that_is_kept_elsewhere_is_a_fault(monkeypatch):
    monkeypatch.setattr(Connection, "pipeline", Gone("pipeline"), raising=False)
    assert "AttributeError: no pipeline" in fault()


def test_a_connection_that_is_made_otherwise_is_a_fault(monkeypatch):
    def made_otherwise(_, config):
        del config

    monkeypatch.setattr(httptools_impl.HttpToolsProtocol, "__init__", made_otherwise)
    assert "TypeError" in fault()


def test_a_connection_that_lives_elsewhere_is_a_fault(monkeypatch):
    monkeypatch.delitem(sys.modules, "lockstep_service.connection.connection")
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)
    assert "ModuleNotFoundError: import of uvicorn.protocols.http.httptools_impl" in fault()


def renamed(folder):
    """A uvicorn whose connection calls its ``url`` ``target``."""
    file = folder / "uvicorn/protocols/http/httptools_impl.py"
    file.write_text(file.read_text().replace("self.url", "self.target"))
    return "object has no attribute 'url'"


def moved(folder):
    """A uvicorn whose connection has moved to another file."""
    file = folder / "uvicorn/protocols/http/httptools_impl.py"
    file.rename(file.with_name("httptools.py"))
    config = folder / "uvicorn/config.py"
    config.write_text(config.read_text().replace("http.httptools_impl", "http.httptools"))
    return "No module named 'uvicorn.protocols.http.httptools_impl'"


@pytest.mark.slow
@pytest.mark.parametrize("change", [renamed, moved])
def test_on_a_changed_uvicorn_the_service_answers_with_the_same_bits_and_says_so_once(
    app, models, artifact, tmp_path, change
):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(uvicorn.__file__).parent, tmp_path / "uvicorn", ignore=ignored)
    reason = change(tmp_path)
    body = json.dumps({"instances": golden_rows(artifact)[:4].tolist()}).encode()
    with serving(models, PYTHONPATH=f"{ROOT}:{tmp_path}") as started:
        with httpx.Client(base_url=started.address) as http:
            for _ in range(2):
                assert http.post("/predict", content=body).content == (
                    post(app, "/predict", body).content
                )
        said = [line for line in started.lines if line["level"] != "info"]
        assert started.stop() == (0, "")
    assert [line["event"] for line in said] == ["shortcuts are off"]
    assert reason in said[0]["reason"]
    assert trial.TESTED in said[0]["advice"]
    assert "without the refusal of what a proxy may read in another way" in said[0]["advice"]
