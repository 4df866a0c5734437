"""The process: it starts, or says in one sentence why not; it drains, and stops with 0."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from lockstep_service.app import create_app
from lockstep_service.process.health import is_ready
from lockstep_service.process.server import Server
from lockstep_service.settings import Settings
from serving import (
    PROBLEM,
    READY_S,
    ROOT,
    assert_problem,
    copied,
    environment,
    flip_byte,
    golden_rows,
    post,
    run_command,
    serving,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def process(models):
    """One service for the tests that only ask; it never logs less than it would."""
    with serving(models, LOCKSTEP_BODY_LIMIT_BYTES="100000") as started:
        yield started


@pytest.fixture
def app_of_its_own(models):
    return create_app(Settings(models=models))


@pytest.fixture(scope="module")
def body(artifact):
    return json.dumps({"instances": golden_rows(artifact)[:4].tolist()}).encode()


def send_raw(address, data):
    """Bytes as they are; what comes back until the other side is done."""
    url = httpx.URL(address)
    with socket.create_connection((url.host, url.port), timeout=READY_S) as connection:
        connection.sendall(data)
        connection.settimeout(READY_S)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def read_raw(answer):
    """Status, headers and JSON body of an answer as bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body)


def test_http_over_a_socket_gives_the_bits_of_the_application(process, app, body):
    answer = httpx.post(f"{process.address}/predict", content=body)
    assert answer.content == post(app, "/predict", body).content


def test_without_asserts_it_answers_and_refuses_the_same(models, app, body):
    with serving(models, PYTHONOPTIMIZE="1") as started:
        assert httpx.post(f"{started.address}/predict", content=body).content == (
            post(app, "/predict", body).content
        )
        assert_problem(httpx.post(f"{started.address}/predict", content=b"[]"), 400)
        assert_problem(httpx.get(f"{started.address}/nothing"), 404)
        assert started.stop() == (0, "")


def test_it_says_on_which_port_and_with_what_proof_it_is_ready(process):
    proved, ready = process.lines[:2]
    assert (proved["event"], proved["model"], proved["golden"]) == ("model proved", "wine", "equal")
    assert proved["batch_sizes"] == "256 of 256"
    assert (ready["event"], ready["models"]) == ("ready", ["wine"])


def test_no_library_but_those_of_serving_is_in_the_process(process):
    if not Path("/proc/self/maps").exists():
        pytest.skip("reads what is mapped from /proc")
    mapped = Path(f"/proc/{process.process.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    for library in ("libtorch", "/torch/", "sklearn", "polars", "matplotlib"):
        assert library not in mapped


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"FOO /v2 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /caf\xe9 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nbad header\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_the_shape_of_every_problem(process, data):
    status, headers, problem = read_raw(send_raw(process.address, data))
    assert status == 400
    assert problem.keys() == PROBLEM
    assert headers["x-request-id"] == problem["request_id"]
    assert headers["content-type"] == "application/json"


def test_a_path_with_dots_leads_nowhere(process):
    for path in (b"/models/../predict", b"/models/..%2f..%2fetc/predict", b"/../../etc/passwd"):
        request = b"POST %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path
        status, _, problem = read_raw(send_raw(process.address, request))
        assert status == 404
        assert problem.keys() == PROBLEM


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 500000\r\n",
        b"content-length: 500000\r\nexpect: 100-continue\r\n",
        b"transfer-encoding: chunked\r\n",
    ],
)
def test_a_body_over_the_limit_is_refused_before_it_is_all_there(process, head):
    chunks = b"".join(b"2710\r\n%s\r\n" % (b"y" * 10_000) for _ in range(11))
    request = b"POST /predict HTTP/1.1\r\nhost: x\r\n%s\r\n" % head
    sent = request + (chunks if b"chunked" in head else b"")
    status, headers, problem = read_raw(send_raw(process.address, sent))
    assert (status, problem["code"]) == (413, "body_too_large")
    assert headers["connection"] == "close"


def test_a_connection_lives_on_after_a_problem(process, body):
    with httpx.Client(base_url=process.address) as http:
        for _ in range(3):
            assert_problem(http.post("/predict", content=b"[]"), 400)
            assert_problem(http.post("/models/none/predict", content=body), 404)
            assert http.post("/predict", content=body).status_code == 200


def test_requests_down_one_connection_at_once_are_answered_in_order(process, artifact):
    rows = golden_rows(artifact)[:10]
    requests = b""
    for i, row in enumerate(rows):
        content = json.dumps({"instances": [row.tolist()]}).encode()
        last = b"connection: close\r\n" if i == len(rows) - 1 else b""
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\n%scontent-length: %d\r\n\r\n"
        requests += head % (last, len(content)) + content
    answers = send_raw(process.address, requests).split(b"HTTP/1.1 200 OK")[1:]
    sent = json.dumps({"instances": rows.tolist()}).encode()
    together = httpx.post(f"{process.address}/predict", content=sent).json()["predictions"]
    alone = [json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"][0] for answer in answers]
    assert alone == together


def test_a_client_that_hangs_up_disturbs_nobody(process, body):
    url = httpx.URL(process.address)
    begun = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 9000\r\n\r\n{"
    for sent in (b"POST /predict HT", begun):
        with socket.create_connection((url.host, url.port), timeout=READY_S) as connection:
            connection.sendall(sent)
    assert httpx.post(f"{process.address}/predict", content=body).status_code == 200
    assert not [line for line in process.lines if line.get("level") == "error"]


def test_the_health_check_says_what_readiness_says(process):
    port = httpx.URL(process.address).port
    assert is_ready("127.0.0.1", port)
    assert is_ready("0.0.0.0", port)  # noqa: S104 - what a service may listen on
    with socket.create_server(("127.0.0.1", 0)) as closing:
        free = closing.getsockname()[1]
    assert not is_ready("127.0.0.1", free)


@pytest.mark.parametrize(("right", "code"), [(True, 0), (False, 1)])
def test_the_health_check_is_an_exit_code(process, right, code):
    port = httpx.URL(process.address).port if right else 1
    words = [sys.executable, "-m", "lockstep_service.process.health"]
    variables = environment(LOCKSTEP_PORT=str(port))
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, b"")


def test_the_health_check_does_not_take_another_server_for_this_one():
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"SSH-2.0-other\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert not is_ready("127.0.0.1", other.getsockname()[1])
        thread.join()


@contextmanager
def in_flight(address, body):
    """A connection whose request has reached the application, but for the last byte of its body."""
    url = httpx.URL(address)
    with socket.create_connection((url.host, url.port), timeout=READY_S) as connection:
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d"
        connection.sendall(head % len(body) + b"\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(body[:-1])
        yield connection


def is_listening(address):
    url = httpx.URL(address)
    try:
        socket.create_connection((url.host, url.port), timeout=READY_S).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("engine", ["onnx", "torchscript"])
def test_sigterm_answers_what_is_in_flight_takes_nothing_new_and_ends_with_0(models, body, engine):
    with serving(models, "--engine", engine, LOCKSTEP_DRAIN_S=str(READY_S * 2)) as started:
        expected = httpx.post(f"{started.address}/predict", content=body).json()
        with in_flight(started.address, body) as connection:
            started.process.terminate()
            end = time.monotonic() + READY_S
            while is_listening(started.address):
                assert time.monotonic() < end
            connection.sendall(body[-1:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        status, headers, predictions = read_raw(answer)
        assert (status, predictions) == (200, expected)
        assert headers["connection"] == "close"
        assert started.process.wait(READY_S) == 0
        assert started.process.stderr.read() == ""


def test_a_client_that_never_finishes_does_not_keep_the_process(models, body):
    with serving(models, LOCKSTEP_DRAIN_S="1") as started:
        with in_flight(started.address, body):
            begin = time.monotonic()
            started.process.terminate()
            assert started.process.wait(READY_S) == 0
            assert time.monotonic() - begin < 8  # what it is given where nothing is said
        assert "Traceback" not in started.process.stderr.read()


def test_sigint_ends_with_0_too(models):
    with serving(models) as started:
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(READY_S) == 0


def test_a_curl_line_is_printed_on_demand_and_works(models):
    with serving(models, "--example") as started:
        lines = [started.process.stderr.readline() for _ in range(4)]
        words = lines[-1]
        url = words.split()[2].replace("localhost", "127.0.0.1")
        content = words.partition("-d '")[2].rpartition("'")[0]
        assert words.startswith("curl -s http://localhost:")
        assert httpx.post(url, content=content.encode()).status_code == 200


def assert_cannot_start(done, *words):
    assert done.returncode == 3
    assert done.stderr.startswith("lockstep: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    for line in done.stdout.splitlines():
        assert "exception" not in json.loads(line)


def test_a_port_in_use_is_exit_code_3_and_one_sentence(models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_command("serve", "--models", models, "--host", "127.0.0.1", "--port", port)
    assert_cannot_start(done, f"Cannot listen on 127.0.0.1:{port}", "in use", "--port")


def test_nothing_to_serve_is_exit_code_3_and_one_sentence(tmp_path):
    done = run_command("serve", "--models", tmp_path)
    assert_cannot_start(done, "nothing to serve", str(tmp_path), "lockstep train digits")


def test_nothing_but_a_bad_artifact_is_exit_code_3_and_its_reason(artifact, tmp_path):
    flip_byte(copied(artifact, tmp_path) / "model.onnx", 99)
    assert_cannot_start(run_command("serve", "--models", tmp_path), "not the file that was sealed")


def test_a_setting_that_makes_no_sense_is_wrong_usage(models):
    done = run_command("serve", "--models", models, LOCKSTEP_THREADS="none")
    assert done.returncode == 64
    assert done.stderr == (
        "lockstep: LOCKSTEP_THREADS is wrong: threads: Input should be a valid integer, unable to "
        "parse string as an integer, however: 'none'.\n"
    )


def test_sigterm_while_models_are_proved_ends_with_0():
    """A platform may change its mind before the service is ready."""
    script = (
        "import os, signal, sys, lockstep_service.process.server as server\n"
        "def load(*_):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    raise SystemExit('not stopped')\n"
        "server.create_app = load\n"
        "from lockstep_service.settings import Settings\n"
        "sys.exit(server.run(Settings()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["event"] == "stopped"


def test_the_first_signal_takes_readiness_before_anything_else(app_of_its_own):
    server = Server(uvicorn.Config(app_of_its_own), app_of_its_own)
    assert not app_of_its_own.state.gate.stopping
    server.handle_exit(signal.SIGTERM, None)
    assert app_of_its_own.state.gate.stopping
    assert server.should_exit
