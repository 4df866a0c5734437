"""The image as a platform runs it: read-only, no capabilities, an arbitrary uid."""

import csv
import io
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.container

IMAGE = os.environ.get("LOCKSTEP_IMAGE", "lockstep")
MODEL = "models/digits/1"
LOCKED = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=54321:54321",
]
LARGEST_LAYERS_MB = 230
STOP_S = 10


def docker(*words, check=True, stdin=None):
    return subprocess.run(
        ["docker", *words], check=check, capture_output=True, input=stdin, timeout=120
    )


def start(*words):
    """Start the image locked down, on a free port of the loopback; its id and address."""
    run = ["run", "--detach", "--publish=127.0.0.1:0:8080", *LOCKED, IMAGE, *words]
    container = docker(*run).stdout.decode().strip()
    port = docker("port", container, "8080").stdout.decode().split()[0].rpartition(":")[2]
    return container, f"http://127.0.0.1:{port}"


def ask(url, body=None):
    """Status and JSON of an answer, whatever the status."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - the loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the same
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait_until_ready(address, container):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if ask(f"{address}/v2/health/ready")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(docker("logs", container).stdout.decode())


@pytest.fixture(scope="module")
def service():
    container, address = start()
    wait_until_ready(address, container)
    yield container, address
    docker("rm", "--force", container)


@pytest.fixture(scope="module")
def rows():
    with np.load(Path(__file__).parents[2] / MODEL / "golden.npz") as golden:
        return golden["features"][:16]


def test_it_is_ready_and_the_health_check_inside_says_so(service):
    container, _ = service
    assert (
        docker("exec", container, "python", "-m", "lockstep_service.process.health").returncode == 0
    )


def test_it_runs_as_the_uid_that_it_was_given_and_not_as_root(service):
    container, _ = service
    assert docker("exec", container, "id", "-u").stdout.strip() == b"54321"
    assert docker("image", "inspect", "--format={{.Config.User}}", IMAGE).stdout.strip() != b""


def test_a_prediction_has_the_bits_of_lockstep_predict_in_the_same_image(service, rows):
    _, address = service
    status, answer = ask(f"{address}/predict", {"instances": rows.tolist()})
    assert status == 200
    served = np.array([p["probabilities"] for p in answer["predictions"]], np.float32)

    manifest = json.loads((Path(__file__).parents[2] / MODEL / "manifest.json").read_text())
    table = io.StringIO()
    csv.writer(table).writerows(
        [[column["name"] for column in manifest["columns"]], *rows.tolist()]
    )
    predict = ["run", "--rm", "--interactive", *LOCKED, IMAGE, "predict", MODEL, "-"]
    printed = docker(*predict, stdin=table.getvalue().encode()).stdout.decode()
    scored = list(csv.DictReader(io.StringIO(printed)))
    offline = np.array(
        [[row[f"probability_{label}"] for label in answer["classes"]] for row in scored], np.float32
    )
    assert (served.view(np.uint32) == offline.view(np.uint32)).all()
    assert [row["label"] for row in scored] == [str(p["label"]) for p in answer["predictions"]]


def test_a_row_alone_has_the_bits_that_it_has_in_a_batch(service, rows):
    _, address = service
    together = ask(f"{address}/predict", {"instances": rows.tolist()})[1]["predictions"]
    alone = [ask(f"{address}/predict", {"instances": [row]})[1] for row in rows.tolist()]
    assert [answer["predictions"][0] for answer in alone] == together


def test_a_bad_request_is_answered_with_a_sentence(service):
    _, address = service
    status, answer = ask(f"{address}/predict", {"instances": [[1.0, 2.0]]})
    assert status == 400
    assert "instance 0: expected 64 values, got 2" in answer["error"]


def test_there_is_no_torch_no_compiler_and_no_pip_of_ours_in_the_image():
    script = (
        "import importlib.util, shutil, sys; "
        "modules = ('torch', 'sklearn', 'polars', 'pip'); "
        "found = [m for m in modules if importlib.util.find_spec(m)]; "
        "found += [t for t in ('gcc', 'cc', 'make') if shutil.which(t)]; "
        "print(found)"
    )
    printed = docker("run", "--rm", "--entrypoint=python", *LOCKED, IMAGE, "-c", script).stdout
    assert printed.strip() == b"[]"


def test_the_layers_on_top_of_the_base_are_small():
    history = ["history", "--format={{.Size}}\t{{.CreatedBy}}", "--human=false", IMAGE]
    sizes = docker(*history).stdout.decode().splitlines()
    # The base's own layers are the last ones: those that its own image shows, too.
    base = docker("history", "--format={{.Size}}", "--human=false", "python:3.11-slim-bookworm")
    ours = sizes[: len(sizes) - len(base.stdout.splitlines())]
    total_mb = sum(int(line.split("\t")[0]) for line in ours) / 1e6
    print(f"layers on top of the base: {total_mb:.0f} MB")
    assert total_mb <= LARGEST_LAYERS_MB


@pytest.mark.parametrize("words", [[], ["serve"]], ids=["no word", "the word serve"])
def test_sigterm_stops_it_in_time_with_exit_code_0(words):
    container, address = start(*words)
    try:
        wait_until_ready(address, container)
        begin = time.monotonic()
        docker("stop", f"--time={STOP_S + 5}", container)
        assert time.monotonic() - begin < STOP_S
        state = docker("inspect", "--format={{.State.ExitCode}}", container).stdout
        assert state.strip() == b"0"
    finally:
        docker("rm", "--force", container)


def test_without_models_it_ends_with_code_3_and_one_sentence(tmp_path):
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)  # pytest's own are private; the container runs as another user
    mount = f"--volume={tmp_path}:/empty:ro"
    done = docker("run", "--rm", mount, *LOCKED, IMAGE, "serve", "--models=/empty", check=False)
    assert done.returncode == 3
    assert done.stderr.decode().count("\n") == 1
    assert "nothing to serve" in done.stderr.decode()
