"""Binary tensors and compressed bodies: the same bits as JSON, and the same refusals."""

import gzip
import json
import zlib

import numpy as np
import pytest

from lockstep_service.app import create_app
from lockstep_service.http.compression import LEAST_BYTES
from lockstep_service.settings import Settings
from serving import ask, assert_problem, post

INFER = "/v2/models/wine/infer"
LENGTH = "inference-header-content-length"


@pytest.fixture(scope="module")
def rows(wine):
    return np.ascontiguousarray(wine.dataset.test.features[:20])


@pytest.fixture(scope="module")
def expected(app, rows):
    answer = post(app, "/predict", {"instances": rows.tolist()}).json()
    return np.array([row["probabilities"] for row in answer["predictions"]], np.float32)


def body_of(rows, *, output=None, request=None, size=None, shape=None):
    """A JSON header and the rows behind it."""
    tensor = {
        "name": "features",
        "shape": list(rows.shape) if shape is None else shape,
        "datatype": "FP32",
        "parameters": {"binary_data_size": rows.nbytes if size is None else size},
    }
    header = {"id": "7", "inputs": [tensor], **(request or {})}
    if output is not None:
        header["outputs"] = [{"name": "probabilities", "parameters": output}]
    data = json.dumps(header).encode()
    return data + rows.astype("<f4").tobytes(), {LENGTH: str(len(data))}


def infer(app, body, headers):
    return ask(app, "POST", INFER, content=body, headers=headers)


def read_binary(answer):
    """The header of a binary answer, and its one tensor."""
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    header = json.loads(answer.content[:length])
    (output,) = header["outputs"]
    data = answer.content[length:]
    assert output["parameters"] == {"binary_data_size": len(data)}
    return header, np.frombuffer(data, "<f4").reshape(output["shape"])


@pytest.mark.parametrize(
    "options",
    [
        {"output": {"binary_data": True}},
        {"request": {"parameters": {"binary_data_output": True}}},
        {"output": {}, "request": {"parameters": {"binary_data_output": True}}},
    ],
    ids=["output", "request", "request and no word of the output"],
)
def test_binary_both_ways_has_the_bits_of_json(app, rows, expected, options):
    header, probabilities = read_binary(infer(app, *body_of(rows, **options)))
    assert header["id"] == "7"
    assert probabilities.tobytes() == expected.tobytes()


@pytest.mark.parametrize("output", [None, {}, {"binary_data": False}])
def test_binary_in_and_json_out_has_the_bits_of_json(app, rows, expected, output):
    answer = infer(app, *body_of(rows, output=output)).json()
    data = np.array(answer["outputs"][0]["data"], np.float32)
    assert data.tobytes() == expected.tobytes()


def test_json_in_and_binary_out_has_the_bits_of_json(app, rows, expected):
    tensor = {"name": "features", "shape": list(rows.shape), "datatype": "FP32"}
    request = {
        "inputs": [{**tensor, "data": rows.tolist()}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    _, probabilities = read_binary(post(app, INFER, request))
    assert probabilities.tobytes() == expected.tobytes()


@pytest.mark.parametrize("n", [1, 2, 20])
def test_a_raw_request_is_a_whole_number_of_rows(app, rows, expected, n):
    answer = infer(app, rows[:n].tobytes(), {LENGTH: "0"})
    _, probabilities = read_binary(answer)
    assert probabilities.tobytes() == expected[:n].tobytes()


def test_of_a_raw_request_that_is_cut_only_a_part_of_a_row_can_be_known(app, rows):
    """It tells nobody how many rows there are; HTTP's own length is what holds it whole."""
    body = rows[:2].tobytes()
    for length in (1, len(body) // 2 - 1, len(body) // 2 + 1, len(body) - 1):
        assert_problem(infer(app, body[:length], {LENGTH: "0"}), 400, "whole number of rows")


def test_the_extension_is_listed(app):
    assert "binary_tensor_data" in ask(app, "GET", "/v2").json()["extensions"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 12}, ["binary_data_size"]),
        ({"size": "many"}, ["binary_data_size"]),
        ({"size": -4}, ["binary_data_size"]),
        ({"shape": [20, 12]}, ["shape"]),
        ({"shape": [2**40, 13]}, ["binary_data_size"]),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(app, rows, change, words):
    assert_problem(infer(app, *body_of(rows, **change)), 400, *words)


@pytest.mark.parametrize("length", ["-1", "x", "99999999", "9" * 400, "²"])
def test_a_header_length_that_is_no_place_in_the_body_is_refused(app, rows, length):
    body, _ = body_of(rows)
    headers = {LENGTH: length.encode("utf-8")}
    assert_problem(infer(app, body, headers), 400, "Inference-Header-Content-Length")


@pytest.mark.parametrize("size", [0, 1, 51, 53])
def test_a_raw_body_of_no_whole_number_of_rows_is_refused(app, size):
    assert_problem(infer(app, bytes(size), {LENGTH: "0"}), 400, "52 bytes")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("raw", [True, False])
def test_what_json_cannot_carry_is_refused_by_instance_and_column(app, wine, rows, value, raw):
    wrong = rows.copy()
    wrong[3, 2] = value
    body, headers = (wrong.tobytes(), {LENGTH: "0"}) if raw else body_of(wrong)
    column = wine.dataset.column_names[2]
    assert_problem(infer(app, body, headers), 400, "instance 3", column)


def test_bytes_that_no_input_names_are_refused(app):
    request = {"inputs": [{"name": "features", "shape": [1, 13], "datatype": "FP32", "data": [0]}]}
    header = json.dumps(request).encode()
    answer = infer(app, header + b"more", {LENGTH: str(len(header))})
    assert_problem(answer, 400, "4 bytes")


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
@pytest.mark.parametrize("path", ["/predict", INFER])
def test_a_compressed_request_is_answered_as_the_plain_one(app, rows, encoding, pack, path):
    if path == "/predict":
        body, headers = json.dumps({"instances": rows.tolist()}).encode(), {}
    else:
        body, headers = body_of(rows, output={"binary_data": True})
    plain = ask(app, "POST", path, content=body, headers=headers)
    headers = {**headers, "content-encoding": encoding}
    packed = ask(app, "POST", path, content=pack(body), headers=headers)
    assert packed.status_code == 200
    assert packed.content == plain.content


@pytest.mark.parametrize(
    "body", [b"{}", b"", gzip.compress(b'{"instances": []}')[:-6]], ids=["plain", "empty", "cut"]
)
def test_a_body_that_is_not_what_its_encoding_says_is_refused(app, body):
    headers = {"content-encoding": "gzip"}
    assert_problem(ask(app, "POST", "/predict", content=body, headers=headers), 400)


def test_a_small_body_that_unpacks_to_more_than_the_limit_is_refused(models):
    app = create_app(Settings(models=models, body_limit_bytes=100_000))
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    answer = ask(app, "POST", "/predict", content=bomb, headers={"content-encoding": "gzip"})
    assert_problem(answer, 413, "unpacks")


@pytest.mark.parametrize("accepted", ["gzip", "deflate", "gzip, deflate, br"])
def test_a_long_answer_is_compressed_where_the_client_asks(app, rows, accepted):
    body = json.dumps({"instances": np.resize(rows, (300, 13)).tolist()}).encode()
    plain = ask(app, "POST", "/predict", content=body, headers={"accept-encoding": "identity"})
    packed = ask(app, "POST", "/predict", content=body, headers={"accept-encoding": accepted})
    assert packed.headers["content-encoding"] == accepted.split(",")[0]
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert packed.json() == plain.json()


def test_a_short_answer_is_left_as_it_is(app, rows):
    body = json.dumps({"instances": rows[:1].tolist()}).encode()
    answer = ask(app, "POST", "/predict", content=body, headers={"accept-encoding": "gzip"})
    assert len(answer.content) < LEAST_BYTES
    assert "content-encoding" not in answer.headers
