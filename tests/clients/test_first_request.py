"""Clients of other makers: the first request of each offers an upgrade to HTTP/2, with its body."""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from serving import golden_rows, serving

JAVA_SOURCE = Path(__file__).with_name("Client.java")
TYPE = "Content-Type: application/json"
STATUS = ("-w", "%{stderr}%{http_code}\n")
LARGE_BYTES = 2_000_000

pytestmark = pytest.mark.clients


def curl():
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    features = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stdout
    if "HTTP2" not in features:
        pytest.skip("this curl speaks no HTTP/2")
    return program


def curl_words(url, file):
    return [curl(), "-s", "--http2", *STATUS, "-H", TYPE, "--data-binary", f"@{file}", url]


def java_words(url, file):
    program = shutil.which("java")
    if program is None:
        pytest.skip("java is not installed")
    return [program, str(JAVA_SOURCE), url, str(file)]


@pytest.fixture(scope="module")
def address(models):
    with serving(models) as started:
        yield started.address


@pytest.fixture(scope="module", params=["1 row", "2 MB"])
def body(request, artifact):
    rows = golden_rows(artifact)[:1]
    row = json.dumps(rows[0].tolist())
    count = 1 if request.param == "1 row" else LARGE_BYTES // len(row)
    return f'{{"instances": [{", ".join([row] * count)}]}}'.encode()


@pytest.mark.parametrize("path", ["/predict", "/predict?through=asgi"])
@pytest.mark.parametrize("words", [curl_words, java_words], ids=["curl", "java"])
def test_a_first_request_that_offers_http_2_is_answered_with_its_rows(
    address, body, tmp_path, words, path
):
    url = f"{address}{path}"
    file = tmp_path / "body.json"
    file.write_bytes(body)
    done = subprocess.run(words(url, file), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.split()) == (0, [b"200"])
    assert done.stdout == httpx.post(url, content=body).content


def test_curl_that_knows_the_server_speaks_http_2_is_told_that_it_does_not(address):
    words = [curl(), "-s", "--http2-prior-knowledge", "--max-time", "10", f"{address}/v2"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode != 0
    assert done.returncode != 28  # the time ran out
