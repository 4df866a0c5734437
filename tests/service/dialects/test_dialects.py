"""Every bad input, in every dialect: the right status, a sentence that says where, one shape."""

import asyncio
import json
import re
from dataclasses import dataclass

import numpy as np
import pytest

from lockstep.imported import import_onnx
from lockstep_service.app import create_app
from lockstep_service.settings import Settings
from serving import ask, assert_problem, bits, client, golden_rows, model_of, post, probabilities

PLAIN, INFER = "/predict", "/v2/models/wine/infer"
WIDTH, COLUMN = 13, 2
PLACE = "@@"
"""Stands in a row for a piece of JSON that Python cannot write."""


@dataclass(frozen=True)
class Dialect:
    """One way to send the same rows."""

    name: str
    path: str

    def write(self, rows, columns, **changes):
        """The request as text; changes are for the one input of OIP."""
        if self.path == PLAIN:
            objects = self.name == "plain objects"
            instances = [
                dict(zip(columns, row, strict=False))
                if objects and isinstance(row, list) and len(row) <= len(columns)
                else row
                for row in rows
            ]
            return json.dumps({"instances": instances})
        data = rows
        if self.name == "oip flat":
            data = [v for row in rows for v in (row if isinstance(row, list) else [row])]
        tensor = {"name": "features", "datatype": "FP32", "shape": [len(rows), WIDTH]}
        return json.dumps({"inputs": [{**tensor, "data": data, **changes}]})


PLAIN_LISTS = Dialect("plain lists", PLAIN)
PLAIN_OBJECTS = Dialect("plain objects", PLAIN)
NESTED = Dialect("oip nested", INFER)
FLAT = Dialect("oip flat", INFER)
DIALECTS = (PLAIN_LISTS, PLAIN_OBJECTS, NESTED, FLAT)

# The JSON of one value, and a word of the sentence that refuses it.
BAD_VALUES = {
    "null": ("null", "never missing"),
    "NaN": ("NaN", "never missing"),
    "Infinity": ("Infinity", "infinity"),
    "-Infinity": ("-Infinity", "infinity"),
    "1e400": ("1e400", "infinity"),
    "-1e999": ("-1e999", "infinity"),
    "an integer of 400 digits": ("9" * 400, "infinity"),
    "1e39, beyond float32": ("1e39", "float32"),
    "a string": ('"1.5"', "the string '1.5'"),
    "an empty string": ('""', "the string ''"),
    "true": ("true", "expected a number"),
    "a list": ("[1.5]", "a list"),
    "an empty list": ("[]", "a list"),
    "an object": ('{"a": 1}', "an object"),
}

# What is done to the second of two rows, and a piece of the sentence for each dialect.
BAD_ROWS = {
    "a value too few": (
        lambda row: row[:-1],
        ("expected 13 values, got 12", "column proline", "a list of 12", "got 25"),
    ),
    "a value too many": (
        lambda row: [*row, 1.0],
        ("expected 13 values, got 14", "expected 13 values, got 14", "a list of 14", "got 27"),
    ),
    "no value": (lambda _: [], ("got 0", "column alcohol", "a list of 0", "got 13")),
    "nested once more": (
        lambda row: [row],
        ("got 1", "column malic_acid", "a list of 1", "got 14"),
    ),
    "a number": (lambda _: 5, ("got 5", "got 5", "no list", "got 14")),
    "null": (lambda _: None, ("got null", "got null", "no list", "got 14")),
    "a string": (lambda _: "abc", ("'abc'", "'abc'", "no list", "got 14")),
}

NO_JSON = {
    "not JSON": b"instances=1,2,3",
    "empty": b"",
    "cut short": b'{"instances": [[1.0, 2.0',
    "two documents": b"{}{}",
    "another encoding": '{"instances": []}'.encode("utf-16"),
    "not UTF-8": b'{"instances": "\xff"}',
    "half a surrogate pair": b'{"instances": [["\\ud800", NaN]]}',
    "nested a thousand deep": b"[" * 2000 + b"]" * 2000,
    "nested a thousand deep around NaN": b"[" * 200_000 + b"NaN",
}
NO_OBJECT = {"a list": b"[]", "a number": b"1", "null": b"null", "a string": b'"instances"'}


@pytest.fixture(scope="module")
def columns(app):
    return [column.name for column in app.state.repository.find("wine").manifest.columns]


@pytest.fixture(scope="module")
def rows(artifact):
    return golden_rows(artifact)[:2].tolist()


def infer(rows, **changes):
    return json.loads(NESTED.write(rows, [], **changes))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_dialect_gives_the_same_bits(each_app, dialect, rows, columns, artifact):
    answer = post(each_app, dialect.path, dialect.write(rows, columns).encode())
    expected = each_app.state.repository.find("wine").batcher._run(golden_rows(artifact)[:2])[0]
    assert bits(probabilities(answer)) == bits(expected)


@pytest.mark.parametrize("value", BAD_VALUES)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_bad_value_is_refused_by_instance_and_column(app, dialect, value, rows, columns):
    token, words = BAD_VALUES[value]
    second = [PLACE if j == COLUMN else number for j, number in enumerate(rows[1])]
    body = dialect.write([rows[0], second], columns).replace(f'"{PLACE}"', token)
    answer = post(app, dialect.path, body.encode())
    assert_problem(answer, 400, "instance 1, column ash: expected", words)
    assert answer.json()["code"] == "invalid_instances"


@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_row_of_another_shape_is_refused(app, dialect, bad, rows, columns):
    change, words = BAD_ROWS[bad]
    answer = post(app, dialect.path, dialect.write([rows[0], change(rows[1])], columns).encode())
    where = "Expected 26 values" if dialect is FLAT else "instance 1"
    assert_problem(answer, 400, where, words[DIALECTS.index(dialect)])


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_no_rows_are_refused(app, dialect, columns):
    assert_problem(post(app, dialect.path, dialect.write([], columns).encode()), 400, "xpected")


@pytest.mark.parametrize("path", [PLAIN, INFER])
@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_no_json_is_refused(app, path, body):
    assert_problem(post(app, path, NO_JSON[body]), 400, "Expected a JSON body")


@pytest.mark.parametrize("path", [PLAIN, INFER])
@pytest.mark.parametrize("body", NO_OBJECT)
def test_json_that_is_no_object_is_refused(app, path, body):
    assert_problem(post(app, path, NO_OBJECT[body]), 400, "Expected a JSON object")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "got none"),
        ({"rows": []}, "got 'rows'"),
        ({"instances": [], "parameters": {}}, "'parameters'"),
        ({"instances": {"alcohol": [1]}}, "a list of rows"),
        ({"instances": None}, "a list of rows"),
        ({"instances": "abc"}, "a list of rows"),
        ({"instances": 3}, "a list of rows"),
    ],
)
def test_a_body_without_a_list_of_instances_is_refused(app, body, words):
    assert_problem(post(app, PLAIN, body), 400, words)


def test_an_unknown_column_is_refused_with_what_may_be_meant(app, rows, columns):
    instance = dict(zip(columns, rows[0], strict=True))
    instance["alkohol"] = instance.pop("alcohol")
    answer = post(app, PLAIN, {"instances": [instance]})
    assert_problem(answer, 400, "instance 0, column alkohol", "did you mean 'alcohol'")


def test_a_column_that_is_absent_is_refused_though_it_may_be_missing(several):
    path = "/models/gauge/predict"
    answer = post(several, path, {"instances": [{"level": 1, "colour": "red"}, {"colour": "red"}]})
    assert_problem(answer, 400, "instance 1, column level", "send a value")


def test_more_problems_than_three_are_counted(app, rows):
    answer = post(app, PLAIN, {"instances": [["a"] * WIDTH, rows[0]]})
    assert_problem(answer, 400, "column alcohol", "column malic_acid", "column ash", "10 more")
    assert "alcalinity" not in answer.json()["error"]


def test_what_a_caller_wrote_is_quoted_only_in_part(app, rows):
    long = "x" * 100_000
    bodies = [
        (PLAIN, {long: 1}),
        (PLAIN, {"instances": [{long: 1}]}),
        (PLAIN, {"instances": [[long] * WIDTH]}),
        (INFER, {long: 1, **infer(rows)}),
        (INFER, infer(rows, name=long)),
        (INFER, infer(rows, datatype=long)),
        (INFER, infer(rows, shape=[1] * 50_000)),
        (INFER, {**infer(rows), "outputs": [{"name": long}]}),
    ]
    for path, body in bodies:
        answer = post(app, path, body)
        assert_problem(answer, 400)
        assert len(answer.content) < 1500


BAD_TENSORS = {
    "another datatype": ({"datatype": "FP64"}, "FP64"),
    "a lower-case datatype": ({"datatype": "fp32"}, "fp32"),
    "a number as datatype": ({"datatype": 5}, "datatype"),
    "another name": ({"name": "input"}, "'input'"),
    "a shape of one dimension": ({"shape": [26]}, "[26]"),
    "a shape of three dimensions": ({"shape": [2, 13, 1]}, "[2, 13, 1]"),
    "another width": ({"shape": [2, 12]}, "[2, 12]"),
    "other rows than data": ({"shape": [3, 13]}, "[3, 13]"),
    "no rows": ({"shape": [0, 13]}, "[0, 13]"),
    "no shape": ({"shape": []}, "[]"),
    "a negative shape": ({"shape": [-2, 13]}, "shape"),
    "minus one": ({"shape": [-1, 13]}, "shape"),
    "a huge shape": ({"shape": [2**62, 13]}, str(2**62)),
    "a shape beyond 64 bits": ({"shape": [2**80, 13]}, "shape"),
    "a fractional shape": ({"shape": [2.0, 13]}, "shape"),
    "a shape of booleans": ({"shape": [True, 13]}, "shape"),
    "a shape of strings": ({"shape": ["2", 13]}, "shape"),
    "null as shape": ({"shape": None}, "shape"),
    "null as data": ({"data": None}, "data"),
    "an object as data": ({"data": {"0": 1}}, "data"),
    "a string as data": ({"data": "abc"}, "data"),
    "an unknown key": ({"dtype": "FP32"}, "dtype"),
    "three levels": ({"data": [[[1.0] * 13]] * 2}, "a list of 1"),
    "ragged in three levels": ({"shape": [1, 13], "data": [[[1.0, 2.0]] * 13]}, "a list"),
}


@pytest.mark.parametrize("bad", BAD_TENSORS)
def test_a_tensor_that_does_not_fit_is_refused(app, bad, rows):
    changes, words = BAD_TENSORS[bad]
    assert_problem(post(app, INFER, infer(rows, **changes)), 400, words)


BAD_REQUESTS = {
    "no inputs": ({"inputs": []}, "inputs"),
    "null as inputs": ({"inputs": None}, "inputs"),
    "an object as inputs": ({"inputs": {}}, "inputs"),
    "the same input twice": ("twice", "inputs"),
    "an unknown output": ({"outputs": [{"name": "logits"}]}, "'logits'"),
    "an output without a name": ({"outputs": [{}]}, "outputs.0.name"),
    "a number as id": ({"id": 5}, "id"),
    "an unknown key": ({"instances": []}, "instances"),
    "a timeout of zero": ({"parameters": {"timeout": 0}}, "timeout"),
    "a negative timeout": ({"parameters": {"timeout": -5}}, "timeout"),
    "a timeout in words": ({"parameters": {"timeout": "1s"}}, "timeout"),
    "a list as parameters": ({"parameters": []}, "parameters"),
}


@pytest.mark.parametrize("bad", BAD_REQUESTS)
def test_a_request_of_the_protocol_that_is_wrong_is_refused(app, bad, rows):
    changes, words = BAD_REQUESTS[bad]
    request = infer(rows)
    changes = {"inputs": request["inputs"] * 2} if changes == "twice" else changes
    assert_problem(post(app, INFER, {**request, **changes}), 400, words)


ODD_NAMES = ("%2e%2e", "wine%2f..", "Wine", "%00", "%ff", "caf%C3%A9", "a" * 5000, "'\"")
ODD_VERSIONS = ("0", "2", "-1", "01", "1.0", "%C2%B2", "%D9%A1", "latest", "9" * 5000, "%201")


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: name[:12])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/{}/predict"),
        ("POST", "/models/{}/versions/1/predict"),
        ("POST", "/v2/models/{}/infer"),
        ("GET", "/v2/models/{}"),
        ("GET", "/v2/models/{}/ready"),
        ("GET", "/v2/models/{}/versions/1/ready"),
    ],
)
def test_a_model_that_is_not_there_is_404(app, method, path, name):
    assert_problem(ask(app, method, path.format(name)), 404)


@pytest.mark.parametrize("version", ODD_VERSIONS, ids=lambda version: version[:12])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/wine/versions/{}/predict"),
        ("POST", "/v2/models/wine/versions/{}/infer"),
        ("GET", "/v2/models/wine/versions/{}"),
        ("GET", "/v2/models/wine/versions/{}/ready"),
    ],
)
def test_a_version_that_is_not_there_is_404_and_the_others_are_named(app, method, path, version):
    assert_problem(ask(app, method, path.format(version)), 404, "no version", "it has 1")


@pytest.mark.parametrize("path", ["/nothing", "/v2/", "/predict/", "/models/wine"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_404(app, method, path):
    answer = ask(app, method, path)
    assert_problem(answer, 404, "/docs")
    assert answer.json()["code"] == "unknown_path"


@pytest.mark.parametrize(
    ("path", "allowed", "wrong"),
    [
        (PLAIN, "POST", "GET PUT DELETE PATCH OPTIONS"),
        ("/models/wine/versions/1/predict", "POST", "GET"),
        (INFER, "POST", "GET PUT"),
        ("/v2", "GET", "POST DELETE"),
        ("/v2/models/wine", "GET", "POST"),
        ("/v2/models/wine/ready", "GET", "POST"),
        ("/v2/health/ready", "GET", "POST"),
        ("/metrics", "GET", "POST"),
    ],
)
def test_a_wrong_method_is_405_and_the_right_one_is_named(app, path, allowed, wrong):
    for method in wrong.split():
        answer = ask(app, method, path)
        assert_problem(answer, 405, allowed)
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", [PLAIN, INFER])
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/csv"},
        {"content-type": "application/octet-stream"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-encoding": "br"},
    ],
    ids=lambda headers: next(iter(headers.values())),
)
def test_a_body_of_another_kind_is_415(app, path, headers):
    answer = ask(app, "POST", path, content=b"1,2,3", headers=headers)
    assert_problem(answer, 415, next(iter(headers.values())))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.x+json",
        "text/json",
        "application/x-www-form-urlencoded",  # what curl -d says of every body
        "",
    ],
)
def test_a_body_that_may_be_json_is_read(app, content_type, rows, columns):
    content = PLAIN_LISTS.write(rows, columns).encode()
    headers = {"content-type": content_type, "content-encoding": "identity"}
    assert ask(app, "POST", PLAIN, content=content, headers=headers).status_code == 200


@pytest.fixture(scope="module")
def narrow(models):
    """Takes bodies of at most a thousand bytes."""
    return create_app(Settings(models=models, body_limit_bytes=1000))


@pytest.mark.parametrize("path", [PLAIN, INFER])
def test_a_body_over_the_limit_is_413_whether_it_tells_its_length_or_not(narrow, path):
    async def chunks():
        for _ in range(20):
            yield b" " * 100

    for content in (b" " * 1001, chunks()):
        answer = ask(narrow, "POST", path, content=content)
        assert_problem(answer, 413, "at most 1000 bytes", "LOCKSTEP_BODY_LIMIT_BYTES")
        assert answer.headers["connection"] == "close"


def test_a_body_of_exactly_the_limit_is_read(narrow, rows):
    body = json.dumps({"instances": rows[:1]}).encode().ljust(1000)
    assert post(narrow, PLAIN, body).status_code == 200


@pytest.mark.parametrize("timeout", ["0", "-5", "1.5", "soon", "", "1e3", "²", "9" * 5000, " "])
@pytest.mark.parametrize("dialect", [PLAIN_LISTS, NESTED], ids=lambda dialect: dialect.name)
def test_a_deadline_that_makes_no_sense_is_refused(app, dialect, timeout, rows, columns):
    headers = {"x-request-timeout-ms": timeout.encode()}
    content = dialect.write(rows, columns).encode()
    answer = ask(app, "POST", dialect.path, content=content, headers=headers)
    assert_problem(answer, 400, "X-Request-Timeout-Ms")


def test_a_deadline_that_passes_is_504(app, rows):
    request = {**infer(rows), "parameters": {"timeout": 1}}  # a microsecond
    assert_problem(post(app, INFER, request), 504, "deadline")


def test_a_deadline_in_time_changes_nothing(app, rows):
    request = {**infer(rows), "parameters": {"timeout": 10_000_000, "priority": 1}}
    headers = {"x-request-timeout-ms": "30000"}
    answer = ask(app, "POST", INFER, content=json.dumps(request).encode(), headers=headers)
    assert answer.status_code == 200


def test_values_beyond_the_network_are_refused_by_instance(app, rows):
    answer = post(app, PLAIN, {"instances": [rows[0], [3.4e38] * WIDTH]})
    assert_problem(answer, 400, "instance 1: ", "overflows")


def test_a_missing_value_is_answered_where_training_had_some(several):
    path = "/models/gauge/predict"
    for missing in (b"null", b"NaN"):
        body = b'{"instances": [[%s, "red"], {"colour": "green", "level": 0.5}]}' % missing
        answer = post(several, path, body)
        assert answer.json()["predictions"] == [{"prediction": 107.0}, {"prediction": 200.5}]
        head = b'"name": "features", "datatype": "FP32", "shape": [1, 2]'
        body = b'{"inputs": [{%s, "data": [%s, 1]}]}' % (head, missing)
        answer = post(several, "/v2/models/gauge/infer", body)
        assert answer.json()["outputs"][0]["data"] == [107.0]


@pytest.mark.parametrize("code", [-1, 3, 1.5, 1e9])
def test_a_code_outside_the_vocabulary_is_refused(several, code):
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [0, code]}
    answer = post(several, "/v2/models/gauge/infer", {"inputs": [tensor]})
    assert_problem(answer, 400, "instance 0, column colour", "from 0 to 2")


@pytest.mark.parametrize(
    ("category", "words"),
    [("gren", "did you mean 'green'"), (1, "category as a string"), (None, "never missing")],
)
def test_a_category_outside_the_vocabulary_is_refused(several, category, words):
    answer = post(several, "/models/gauge/predict", {"instances": [[1.0, category]]})
    assert_problem(answer, 400, "instance 0, column colour", words)


IMAGE = [[1, 2, 3], [4, 9, 5]]


def test_an_instance_may_be_a_tensor_and_the_answer_an_object_of_outputs(several):
    answer = post(several, "/models/pair/predict", {"instances": [IMAGE, [[7, 0, 0], [0, 0, 0]]]})
    assert answer.json()["predictions"] == [
        {"flat": [1, 2, 3, 4, 9, 5], "place": 4},
        {"flat": [7, 0, 0, 0, 0, 0], "place": 0},
    ]


def test_outputs_are_answered_as_they_are_asked_for(several):
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 2, 3], "data": [IMAGE]}
    request = {"inputs": [tensor], "outputs": [{"name": "place", "parameters": {}}]}
    answer = post(several, "/v2/models/pair/infer", request).json()
    assert answer["outputs"] == [{"name": "place", "shape": [1], "datatype": "INT64", "data": [4]}]
    assert "id" not in answer
    both = post(several, "/v2/models/pair/infer", {"id": "", "inputs": [tensor]}).json()
    assert [output["name"] for output in both["outputs"]] == ["flat", "place"]
    assert both["id"] == ""


@pytest.mark.parametrize(
    "instance", [1, [], [[1, 2, 3]], [[1, 2], [3, 4]], [[1, 2, "3"]] * 2, [[1, 2, None]] * 2]
)
def test_a_tensor_instance_that_does_not_fit_is_refused(several, instance):
    answer = post(several, "/models/pair/predict", {"instances": [IMAGE, instance]})
    assert_problem(answer, 400, "instance 1")


def test_nan_and_infinity_are_refused_in_a_tensor_instance(several):
    for token in ("NaN", "1e39", "Infinity", "9" * 400):
        body = f'{{"instances": [{IMAGE}, [[1, 2, 3], [1, 2, {token}]]]}}'.encode()
        assert_problem(post(several, "/models/pair/predict", body), 400, "instance 1")


def test_what_an_imported_model_cannot_answer_leaves_as_null(tmp_path):
    file = tmp_path / "root.onnx"
    root = "root (float[batch, 2] x) => (float[batch, 2] y) { y = Sqrt(x) }"
    file.write_bytes(model_of(root).SerializeToString())
    import_onnx(file, tmp_path / "models", "root")
    app = create_app(Settings(models=tmp_path / "models"))
    assert post(app, "/predict", {"instances": [[4, -1]]}).json()["predictions"] == [[2, None]]
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [4, -1]}
    answer = post(app, "/v2/models/root/infer", {"inputs": [tensor]}).json()
    assert answer["outputs"][0]["data"] == [2, None]


def test_infer_echoes_the_id_and_says_who_answered(app, rows):
    answer = post(app, INFER, {"id": "ünïque-7", **infer(rows)}).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == (
        "ünïque-7",
        "wine",
        "1",
    )
    assert answer["outputs"][0].keys() == {"name", "shape", "datatype", "data"}
    assert answer["outputs"][0]["shape"] == [2, 3]


def test_without_a_name_and_without_a_version_the_same_model_answers(app, rows):
    body = {"instances": rows}
    paths = (PLAIN, "/models/wine/predict", "/models/wine/versions/1/predict")
    assert len({post(app, path, body).content for path in paths}) == 1


def test_a_plain_answer_says_model_version_and_classes(app, rows):
    answer = post(app, PLAIN, {"instances": rows}).json()
    assert answer.keys() == {"model", "version", "classes", "predictions"}
    assert (answer["model"], answer["version"]) == ("wine", 1)
    for prediction in answer["predictions"]:
        best = int(np.argmax(prediction["probabilities"]))
        assert prediction["label"] == answer["classes"][best]


def test_a_number_in_an_answer_reads_back_to_the_same_bits(each_app, artifact):
    rows = golden_rows(artifact)
    expected = each_app.state.repository.find("wine").batcher._run(rows)[0]
    text = post(each_app, PLAIN, {"instances": rows.tolist()}).text
    wide = [p["probabilities"] for p in json.loads(text)["predictions"]]
    assert bits(np.array(wide, np.float64).astype(np.float32)) == bits(expected)
    tokens = re.findall(r'"probabilities":\[([^]]*)\]', text)
    narrow = [[np.float32(token) for token in row.split(",")] for row in tokens]
    assert bits(np.array(narrow)) == bits(expected)


def test_the_server_tells_what_it_is(app):
    answer = ask(app, "GET", "/v2").json()
    assert answer.keys() == {"name", "version", "extensions"}
    assert ask(app, "GET", "/v2/health/live").json() == {"live": True}
    assert ask(app, "GET", "/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize("path", ["/v2/models/wine", "/v2/models/wine/versions/1"])
def test_a_model_tells_its_tensors_and_what_was_proved(each_app, path):
    answer = ask(each_app, "GET", path).json()
    assert (answer["name"], answer["versions"]) == ("wine", ["1"])
    assert answer["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 13]}]
    assert answer["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    platforms = {"onnx": "onnx_onnxv1", "torchscript": "pytorch_torchscript"}
    assert answer["platform"] == platforms[answer["proof"]["engine"]]
    assert answer["proof"]["golden"] == "equal"
    assert answer["proof"]["batch_invariance"]["holds"]
    assert ask(each_app, "GET", f"{path}/ready").json()["ready"] is True


def test_many_bad_requests_leave_their_neighbours_alone(each_app, rows):
    async def asked():
        async with client(each_app) as http:
            bodies = [{"instances": rows[:1]}, {"instances": [[1]]}] * 20
            return await asyncio.gather(*(http.post(PLAIN, json=body) for body in bodies))

    answers = asyncio.run(asked())
    assert [answer.status_code for answer in answers] == [200, 400] * 20
    assert len({answer.content for answer in answers[::2]}) == 1
