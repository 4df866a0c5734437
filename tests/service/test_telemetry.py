"""Metrics of one application, and log lines that a machine reads."""

import json
import logging
import sys

import pytest
import structlog
from serving import ask, golden_rows, post

from service.app import create_app
from service.settings import Settings
from service.telemetry import Telemetry, configure_logging, log


@pytest.fixture
def logging_restored():
    root = logging.getLogger()
    before = (root.handlers, root.level, logging.getLogger("uvicorn.error").level)
    yield
    root.handlers, level, uvicorn_level = before
    root.setLevel(level)
    logging.getLogger("uvicorn.error").setLevel(uvicorn_level)
    structlog.reset_defaults()


def test_two_applications_in_one_process_do_not_share_metrics(models, artifact):
    first, second = create_app(Settings(models=models)), create_app(Settings(models=models))
    post(first, "/predict", {"instances": golden_rows(artifact)[:3].tolist()})
    line = 'lockstep_batch_rows_sum{model="wine",version="1"}'
    assert f"{line} 3.0" in ask(first, "GET", "/metrics").text
    assert f"{line} 0.0" in ask(second, "GET", "/metrics").text


def test_the_proof_at_load_is_a_metric(each_app):
    served = each_app.state.repository.find("wine")
    text = ask(each_app, "GET", "/metrics").text
    labels = f'engine="{served.proof.engine}",model="wine"'
    assert f'lockstep_golden_equal{{{labels},precision="float32",version="1"}} 1.0' in text
    assert f'lockstep_tile_rows{{{labels},version="1"}} {served.proof.tile or 0}' in text


def test_every_metric_has_a_line_of_help_and_a_name_of_ours():
    for family in Telemetry().registry.collect():
        assert family.name.startswith("lockstep_")
        assert family.documentation.endswith(".")


def test_the_metrics_are_in_the_text_format_of_prometheus(app):
    answer = ask(app, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.usefixtures("logging_restored")
def test_a_log_line_is_one_json_document(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    configure_logging("info")
    log.info("model proved", model="wine", note="two\nlines")
    log.debug("too much")
    logging.getLogger("of.a.library").warning("it says %s", "this")
    log.error("request failed", exc_info=ValueError("inside"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["model proved", "it says this", "request failed"]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "ValueError: inside" in lines[2]["exception"]
