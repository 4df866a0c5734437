"""Several processes behind one port: each answers, each is replaced, all stop together."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from lockstep.errors import InvalidSetting
from lockstep_service.settings import load_settings
from lockstep_service.view.telemetry import SHARED_MEMORY
from serving import READY_S, ROOT, copied, environment, golden_rows, run_command, serving

pytestmark = [
    pytest.mark.skipif(
        not Path("/proc/self/maps").exists(), reason="reads what a process is doing from /proc"
    ),
    pytest.mark.slow,
]
WORKERS = 2


@contextmanager
def workers(models, *flags, **variables):
    """A service of two workers; whatever a test left of it is stopped."""
    with serving(models, "--workers", str(WORKERS), *flags, **variables) as started:
        try:
            yield started
        finally:
            if started.process.poll() is None:
                started.process.terminate()
                started.process.wait(READY_S)


@pytest.fixture(scope="module")
def service(models):
    """One service for the tests that leave it as it was."""
    with workers(models) as started:
        yield started


@pytest.fixture(scope="module")
def body(artifact):
    return json.dumps({"instances": golden_rows(artifact)[:2].tolist()}).encode()


def processes(service):
    """The ids of the workers that are there now, by their number."""
    ready = next(line for line in service.lines if line["event"] == "ready")
    current = dict(enumerate(ready["processes"]))
    restarted = [line for line in service.lines if line["event"] == "worker restarted"]
    return current | {line["worker"]: line["process"] for line in restarted}


def is_running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(holds, seconds=READY_S):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def events(service, name):
    return [line for line in service.lines if line["event"] == name]


def request(service, method, path, body=None):
    """Status and text of an answer over a connection of its own: any worker may give it."""
    url = httpx.URL(service.address)
    with closing(HTTPConnection(url.host, url.port, timeout=READY_S)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def predict(service, body):
    """The status of a prediction."""
    return request(service, "POST", "/predict", body)[0]


def predictions_counted(service):
    """What the worker that happens to be asked says of all of them: answers, and timings."""
    _, text = request(service, "GET", "/metrics")
    found = [
        re.search(rf'^{name}{{route="/predict"{rest}}} (\S+)$', text, re.MULTILINE)
        for name, rest in (
            ("lockstep_requests_total", ',status="200"'),
            ("lockstep_request_seconds_count", ""),
        )
    ]
    return [int(float(line[1])) if line else 0 for line in found]


def sockets(process):
    links = []
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            links.append(descriptor.readlink())
    return sum(link.name.startswith("socket:") for link in links)


def counting_folder(process):
    """Where a worker counts, together with the others."""
    mapped = Path(f"/proc/{process}/maps").read_text()
    return Path(re.search(r"/\S+/lockstep-\w+(?=/\w+\.db)", mapped)[0])


def assert_all_gone(*ids):
    wait_until(lambda: not any(map(is_running, ids)))


def test_each_worker_answers_while_the_other_stands_still(service, body):
    for process in processes(service).values():
        os.kill(process, signal.SIGSTOP)
        try:
            assert [predict(service, body) for _ in range(4)] == [200] * 4
        finally:
            os.kill(process, signal.SIGCONT)


def test_connections_that_stay_are_spread_over_the_workers(service):
    url = httpx.URL(service.address)
    before = {process: sockets(process) for process in processes(service).values()}

    def every_worker_has_some():
        # A machine that is busy may keep one worker from its turn for a whole burst of them.
        for _ in range(16):
            opened.enter_context(socket.create_connection((url.host, url.port)))
        return all(sockets(process) > count for process, count in before.items())

    with ExitStack() as opened:
        wait_until(every_worker_has_some)


def test_the_metrics_are_those_of_all_workers_whichever_is_asked(service, body):
    before = predictions_counted(service)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: predict(service, body), range(40))) == {200}
    # An answer is counted when it has left; who is asked a moment later knows it.
    wait_until(lambda: predictions_counted(service) == [count + 40 for count in before])
    for process in processes(service).values():
        os.kill(process, signal.SIGSTOP)
        try:
            assert predictions_counted(service) == [count + 40 for count in before]
        finally:
            os.kill(process, signal.SIGCONT)


def test_every_worker_says_in_its_lines_which_it_is(service):
    proved = events(service, "model proved")
    assert sorted(line["worker"] for line in proved) == list(range(WORKERS))
    assert {line["golden"] for line in proved} == {"equal"}


def test_no_process_holds_a_library_that_it_does_not_need(service):
    parent, *answering = [service.process.pid, *processes(service).values()]
    for process in answering:
        mapped = Path(f"/proc/{process}/maps").read_text()
        assert "onnxruntime" in mapped
        assert "libtorch" not in mapped
        assert "/torch/" not in mapped
    assert "onnxruntime" not in Path(f"/proc/{parent}/maps").read_text()


@pytest.mark.parametrize("count", ["1", "2"])
def test_the_port_of_another_service_is_exit_code_3_and_one_sentence(service, models, count):
    port = str(httpx.URL(service.address).port)
    words = ["--models", models, "--host", "127.0.0.1", "--port", port, "--workers", count]
    done = run_command("serve", *words)
    assert done.returncode == 3
    assert re.fullmatch(rf"lockstep: Cannot listen on 127.0.0.1:{port}: .*\n", done.stderr)


def test_a_worker_that_is_killed_is_replaced_and_meanwhile_others_answer(models, body):
    with workers(models) as service:
        for _ in range(5):
            assert predict(service, body) == 200
        # An answer is counted when it has left: give the one that is to die the time.
        wait_until(lambda: predictions_counted(service) == [5, 5])
        first = processes(service)
        os.kill(first[1], signal.SIGKILL)
        answered = 5
        while not events(service, "worker restarted"):
            assert predict(service, body) == 200
            answered += 1
        assert answered > 5
        (died,) = events(service, "worker died")
        assert (died["worker"], died["process"], died["exit_code"]) == (1, first[1], -9)
        assert processes(service)[0] == first[0]
        assert is_running(processes(service)[1])
        os.kill(first[0], signal.SIGSTOP)  # so that the new one answers
        assert predict(service, body) == 200
        os.kill(first[0], signal.SIGCONT)
        # What the dead one has counted stays counted.
        wait_until(lambda: predictions_counted(service) == [answered + 1] * 2)


def test_sigterm_drains_every_worker_and_leaves_nothing(models, body):
    with workers(models, LOCKSTEP_DRAIN_S=str(READY_S * 2)) as service:
        folder = counting_folder(processes(service)[0])
        assert folder.is_dir()
        assert folder.parent == SHARED_MEMORY or not os.access(SHARED_MEMORY, os.W_OK)
        url = httpx.URL(service.address)
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d"
        waiting = [socket.create_connection((url.host, url.port), READY_S) for _ in range(8)]
        for connection in waiting:
            connection.sendall(head % len(body) + b"\r\n\r\n")
            assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        service.process.terminate()
        wait_until(lambda: not is_listening(url))
        for connection in waiting:
            with connection:
                connection.sendall(body)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert service.process.wait(READY_S) == 0
        assert service.process.stderr.read() == ""
        assert_all_gone(*processes(service).values())
        assert not folder.exists()
        assert not events(service, "worker died")


def is_listening(url):
    try:
        socket.create_connection((url.host, url.port), READY_S).close()
    except OSError:
        return False
    return True


def start(models, **options):
    words = ["--models", str(models), "--port", "0", "--host", "127.0.0.1", "--workers", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "lockstep", "serve", *words],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("is_ready", [True, False], ids=["ready", "starting"])
def test_sigint_at_a_terminal_reaches_every_process_and_ends_with_0(models, is_ready):
    with start(models, start_new_session=True) as process:
        event = ""
        while event != ("ready" if is_ready else "model proved"):
            event = json.loads(process.stdout.readline())["event"]
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=READY_S)
        assert (process.returncode, stderr) == (0, "")


def test_nothing_outlives_a_parent_that_is_killed(models):
    with start(models) as process:
        line = {}
        while line.get("event") != "ready":
            line = json.loads(process.stdout.readline())
        folder = counting_folder(line["processes"][0])
        process.kill()
        assert_all_gone(*line["processes"])
        wait_until(lambda: not folder.exists())


def test_nothing_to_serve_is_exit_code_3_and_said_once(tmp_path):
    done = run_command("serve", "--models", tmp_path, "--port", "0", "--workers", "2")
    assert done.returncode == 3
    assert done.stderr.startswith("lockstep: There is nothing to serve in ")
    assert done.stderr.count("\n") == 1


def test_a_worker_that_dies_before_the_service_was_ready_ends_it_with_3(models):
    with start(models) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: len(children.read_text().split()) == WORKERS + 1)
        os.kill(int(children.read_text().split()[-1]), signal.SIGKILL)
        _, stderr = process.communicate(timeout=READY_S)
    assert process.returncode == 3
    assert stderr.startswith("lockstep: Worker 1 ended with code -9 before it was ready")


def test_when_no_worker_can_be_replaced_the_service_ends_with_3(artifact, tmp_path, body):
    copied(artifact, tmp_path)
    with workers(tmp_path) as service:
        shutil.rmtree(tmp_path / "wine")
        first = processes(service)
        os.kill(first[0], signal.SIGKILL)
        wait_until(lambda: events(service, "worker cannot start"))
        assert predict(service, body) == 200  # by the other, which has the model
        os.kill(first[1], signal.SIGKILL)
        assert service.process.wait(READY_S) == 3
        stderr = service.process.stderr.read()
        assert stderr.startswith("lockstep: There is nothing to serve in ")
        assert stderr.count("\n") == 1
        pauses = [line["pause_seconds"] for line in events(service, "worker died")]
        assert pauses[:2] in ([0.0, 1.0], [0.0, 0.0])


def test_a_worker_that_hangs_does_not_keep_the_service(models):
    with workers(models, "--example", LOCKSTEP_DRAIN_S="0") as service:
        hanging = processes(service)[1]
        os.kill(hanging, signal.SIGSTOP)
        service.process.terminate()
        assert service.process.wait(8) == 0
        assert_all_gone(hanging)
        (killed,) = events(service, "worker killed")
        assert killed["worker"] == 1
        assert service.process.stderr.read().count("curl -s") == 1  # not one from each


@pytest.mark.parametrize("count", [0, 257])
def test_a_number_of_workers_that_makes_no_sense_is_refused(count):
    with pytest.raises(InvalidSetting, match=r"^--workers is wrong"):
        load_settings(workers=count)
