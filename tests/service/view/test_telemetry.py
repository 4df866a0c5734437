"""Metrics of one application, and log lines that a machine reads."""

import json
import logging
import os
import subprocess
import sys
import tempfile

import pytest
import structlog
from prometheus_client import generate_latest, values

from lockstep_service.app import create_app
from lockstep_service.errors import CannotStart
from lockstep_service.settings import Settings
from lockstep_service.view import telemetry as module
from lockstep_service.view.log import configure_logging, log
from lockstep_service.view.telemetry import RunMetrics, Telemetry, count_as, forget, shared_metrics
from serving import ask, golden_rows, post


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


@pytest.mark.usefixtures("logging_restored")
def test_a_worker_says_its_number_in_lines_of_its_own_and_of_libraries(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    configure_logging("info", worker=3)
    log.info("stopped")
    logging.getLogger("of.a.library").warning("it says this")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line["worker"]) for line in lines] == [
        ("stopped", 3),
        ("it says this", 3),
    ]


@pytest.fixture
def counting_folder(monkeypatch, tmp_path):
    """Where workers, which are told so by their environment, count together."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    yield tmp_path
    values.close_all_multiprocess_files()


def worker(number):
    """The metrics of a worker that has answered and run, and in which rows wait."""
    count_as(number)
    telemetry = Telemetry()
    telemetry.observe("/predict", 200, 0.002)
    runs = RunMetrics(telemetry, "wine", 1)
    runs.ran(4, 0.001)
    runs.queued(10 + number)
    return telemetry


def shown(telemetry, name):
    """The values of a metric by their labels, as whoever scrapes sees them."""
    lines = telemetry.exposition().decode().splitlines()
    return [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name}{{")]


@pytest.mark.usefixtures("counting_folder")
def test_every_worker_shows_the_sum_over_all():
    for telemetry in [worker(0), worker(1)]:
        assert shown(telemetry, "lockstep_requests_total") == ["2.0"]
        assert shown(telemetry, "lockstep_request_seconds_count") == ["2.0"]
        assert shown(telemetry, "lockstep_batch_rows_sum") == ["8.0"]
        assert shown(telemetry, "lockstep_queue_rows") == ["21.0"]


def test_a_worker_that_died_is_forgotten_but_not_what_it_counted(counting_folder):
    worker(0)
    left = worker(1)
    forget(0, counting_folder)
    assert shown(left, "lockstep_queue_rows") == ["11.0"]
    assert shown(left, "lockstep_requests_total") == ["2.0"]
    worker(0)  # its successor
    assert shown(left, "lockstep_queue_rows") == ["21.0"]
    assert shown(left, "lockstep_requests_total") == ["3.0"]


@pytest.mark.usefixtures("counting_folder")
def test_shared_metrics_are_described_like_those_of_one_process():
    lines = worker(0).exposition().decode().splitlines()
    described = {line for line in lines if line.startswith(("# HELP", "# TYPE"))}
    alone = set(generate_latest(Telemetry().registry).decode().splitlines())
    assert described
    assert described <= alone


def test_the_folder_of_the_workers_is_told_to_them_alone_and_does_not_stay():
    print_it = [
        sys.executable,
        "-c",
        "import os; print(os.environ.get('PROMETHEUS_MULTIPROC_DIR'))",
    ]
    with shared_metrics() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        told = subprocess.run(print_it, capture_output=True, text=True, check=True).stdout.strip()
        assert told == str(folder)
        assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
    assert not folder.exists()
    told = subprocess.run(print_it, capture_output=True, text=True, check=True).stdout.strip()
    assert told == "None"


def test_without_a_shared_memory_the_temporary_folder_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "SHARED_MEMORY", tmp_path / "none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with shared_metrics() as folder:
        assert folder.parent == tmp_path


def test_with_no_place_to_count_several_workers_cannot_start(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "SHARED_MEMORY", tmp_path / "none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nor this"))
    with pytest.raises(CannotStart, match="serve with one worker"), shared_metrics():
        pass
