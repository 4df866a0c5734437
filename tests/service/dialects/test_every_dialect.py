"""One table of what can be wrong, over every dialect: the same code, the same sentence."""

import gzip
import math
import re
import zlib

import httpx
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects import (
    ARRAY,
    COLUMN_BYTES,
    COLUMNS,
    DIALECTS,
    LISTS,
    OBJECTS,
    STREAM,
    TENSOR,
    TENSOR_BYTES,
)
from lockstep.errors import InvalidInstances
from lockstep_service.errors import BadRequest
from serving import ROOT, ask, assert_problem, bits, golden_rows, probabilities

WRONG, BAD = "invalid_instances", "bad_request"
BY_NAME = (OBJECTS, COLUMNS, COLUMN_BYTES, STREAM)
ASH = 2
GAUGE = ["level", "colour"]

BEYOND = "instance 1, column ash: expected a number that float32 can hold, got one beyond"
MISSING = "instance 1, column ash: expected a value, got none"
ABSENT = "instance 0, column proline: the column is not there; send a value for it"
UNKNOWN = "instance 0, column more0: there is no such column"
TEXT = "instance [01], column ash: expected a number, got the string '[^']*'"
SHAPE = r"Expected (features|an array) .*shape \[n, 13\].* got \[2, {}\]"
NO_ROWS = r"Expected (features|an array) .*n ≥ 1.* got \[0, 13\]"


def at_ash(value):
    return lambda row: [*row[:ASH], value, *row[ASH + 1 :]]


# What is done to the second of two rows (to both, where their width is wrong), and code and
# sentence for each dialect; the first entry whose dialects hold it says.
ROWS = {
    "NaN": (at_ash(math.nan), [(DIALECTS, WRONG, MISSING)]),
    "infinity": (at_ash(math.inf), [(DIALECTS, WRONG, BEYOND)]),
    "minus infinity": (at_ash(-math.inf), [(DIALECTS, WRONG, BEYOND)]),
    "a value beyond float32": (at_ash(1e39), [(DIALECTS, WRONG, BEYOND)]),
    "a string": (
        at_ash("much"),
        [
            ((TENSOR_BYTES,), BAD, "Expected features to be of datatype FP32, got 'BYTES'"),
            ((ARRAY,), BAD, "Expected an array of real numbers .* got the type"),
            (DIALECTS, WRONG, TEXT),
        ],
    ),
    "a value too few": (
        lambda row: row[:-1],
        [
            (BY_NAME, WRONG, ABSENT),
            ((LISTS,), WRONG, "instance 0: expected 13 values, got 12"),
            (DIALECTS, BAD, SHAPE.format(12)),
        ],
    ),
    "a value too many": (
        lambda row: [*row, 1.0],
        [
            (BY_NAME, WRONG, UNKNOWN),
            ((LISTS,), WRONG, "instance 0: expected 13 values, got 14"),
            ((TENSOR, TENSOR_BYTES, ARRAY), BAD, SHAPE.format(14)),
        ],
    ),
}
BEYOND_THE_NETWORK = "instance 1: expected values that the network can answer"


@pytest.fixture(scope="module")
def names(several):
    return [column.name for column in several.state.repository.find("wine").manifest.columns]


@pytest.fixture(scope="module")
def rows(artifact):
    return golden_rows(artifact)[:2].tolist()


def each_dialect(dialects=DIALECTS):
    return pytest.mark.parametrize("dialect", dialects, ids=lambda dialect: dialect.name)


def assert_refused(answer, code, sentence):
    assert_problem(answer, 400)
    assert answer.json()["code"] == code
    assert re.match(sentence, answer.json()["error"]), answer.json()["error"]


@pytest.mark.parametrize("n", [1, 7, 79])
@each_dialect()
def test_every_dialect_gives_the_bits_of_the_engine(each_app, artifact, dialect, names, n):
    rows = golden_rows(artifact)[:n]
    expected = each_app.state.repository.find("wine").batcher._run(rows)[0]
    answer = dialect.send(each_app, "wine", rows.tolist(), names)
    assert bits(probabilities(answer)) == bits(expected)


@pytest.mark.parametrize("wrong", ROWS)
@each_dialect()
def test_rows_that_are_wrong_are_refused_alike(several, dialect, rows, names, wrong):
    change, expectations = ROWS[wrong]
    changed = [change(row) if "too" in wrong else row for row in rows]
    changed[1] = change(rows[1])
    code, sentence = next(expected for among, *expected in expectations if dialect in among)
    assert_refused(dialect.send(several, "wine", changed, names), code, sentence)


@each_dialect()
def test_no_rows_are_refused_alike(several, dialect, names):
    answer = dialect.send(several, "wine", [], names)
    if dialect in (LISTS, OBJECTS, STREAM):
        assert_refused(answer, WRONG, "instance 0: expected at least one instance, got none")
    elif dialect in (COLUMNS, COLUMN_BYTES):
        assert_refused(answer, BAD, r"Expected 'alcohol' .* n ≥ 1 .* got \[0, 1\]")
    else:
        assert_refused(answer, BAD, NO_ROWS)


@each_dialect()
def test_values_beyond_the_network_are_refused_alike(several, dialect, rows, names):
    answer = dialect.send(several, "wine", [rows[0], [3.4e38] * 13], names)
    assert_refused(answer, WRONG, BEYOND_THE_NETWORK)


@pytest.mark.parametrize("code", [3.0, -1.0, 1.5, 1e9])
@each_dialect([dialect for dialect in DIALECTS if dialect.coded])
def test_a_code_outside_the_vocabulary_is_refused_alike(several, dialect, code):
    answer = dialect.send(several, "gauge", [[1.0, 0.0], [2.0, code]], GAUGE)
    sentence = "instance 1, column colour: expected the code of a category, .* from 0 to 2, got"
    assert_refused(answer, WRONG, sentence)


@each_dialect([dialect for dialect in DIALECTS if not dialect.coded])
def test_a_category_outside_the_vocabulary_is_refused_alike(several, dialect):
    answer = dialect.send(several, "gauge", [[1.0, "red"], [2.0, "gren"]], GAUGE)
    sentence = "instance 1, column colour: expected one of 3 categories, got the string 'gren', did"
    assert_refused(answer, WRONG, sentence)


@each_dialect([dialect for dialect in DIALECTS if not dialect.coded])
def test_a_number_for_a_category_is_refused_alike(several, dialect):
    answer = dialect.send(several, "gauge", [[1.0, 1.0], [2.0, 2.0]], GAUGE)
    assert_refused(
        answer, WRONG, "instance 0, column colour: expected a category as a string, got 1"
    )


@each_dialect()
def test_a_missing_value_and_a_category_are_answered_alike(several, dialect):
    green = 2.0 if dialect.coded else "green"
    missing = None if dialect.path.startswith("/models") else math.nan
    answer = dialect.send(several, "gauge", [[missing, green], [0.5, green]], GAUGE)
    assert probabilities(answer).tolist() == [[207.0], [200.5]]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
@each_dialect()
def test_a_compressed_body_is_answered_as_the_plain_one(several, dialect, rows, names, pack):
    body, headers = dialect.write(rows, names)
    plain = dialect.send_body(several, "wine", body, **headers)
    encoding = "gzip" if pack is gzip.compress else "deflate"
    packed = dialect.send_body(several, "wine", pack(body), content_encoding=encoding, **headers)
    assert (packed.status_code, packed.content) == (200, plain.content)


@each_dialect()
def test_a_deadline_that_makes_no_sense_is_refused_alike(several, dialect, rows, names):
    answer = dialect.send(several, "wine", rows, names, x_request_timeout_ms="soon")
    assert_refused(answer, BAD, "Expected X-Request-Timeout-Ms to be a whole number")


def question_of(app, dialect, model, body, headers):
    """What the dialect reads of these bytes, without the way there."""
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    named |= {b"host": b"service", b"content-length": str(len(body)).encode()}
    endpoint, _, prepared = app.shortcuts.find(dialect.path.format(model).encode(), named)
    return endpoint.question(prepared, named, body)


@pytest.mark.parametrize("model", ["wine", "gauge"])
@each_dialect()
def test_a_body_that_is_cut_anywhere_is_refused(several, dialect, rows, names, model):
    body, headers = written(dialect, model, rows, names)
    assert len(question_of(several, dialect, model, body, headers).features) == 2
    for length in range(len(body)):
        with pytest.raises((BadRequest, InvalidInstances)):
            question_of(several, dialect, model, body[:length], headers)


@pytest.mark.parametrize("model", ["wine", "gauge"])
@each_dialect()
def test_what_stands_behind_a_body_is_refused(several, dialect, rows, names, model):
    body, headers = written(dialect, model, rows, names)
    for behind in (b"\x00", b"x", bytes(8), body):
        with pytest.raises((BadRequest, InvalidInstances)):
            question_of(several, dialect, model, body + behind, headers)


def written(dialect, model, rows, names):
    """Two rows of numbers, or of a number and a category."""
    if model == "wine":
        return dialect.write(rows, names)
    colours = [1.0, 2.0] if dialect.coded else ["red", "green"]
    return dialect.write([[1.5, colour] for colour in colours], GAUGE)


def mutated(draw, body):
    """A body of which some bytes are others, are gone, or are there twice."""
    data = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        piece = draw(
            st.one_of(
                st.binary(min_size=1, max_size=1),
                st.sampled_from([b"\xff" * 4, b"\x00" * 8, b"\xff" * 7 + b"\x7f", b"\x80"]),
            )
        )
        length = draw(st.sampled_from([0, 1, len(piece), len(data)]))
        data[at : at + length] = piece
    return bytes(data)


@each_dialect()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_body_that_is_spoilt_anywhere_is_answered_or_refused(several, dialect, rows, names, data):
    model = data.draw(st.sampled_from(["wine", "gauge"]))
    colour = 1.0 if dialect.coded else "red"
    good = dialect.write(rows, names) if model == "wine" else dialect.write([[1.5, colour]], GAUGE)
    body, headers = good
    answer = dialect.send_body(several, model, mutated(data.draw, body), **headers)
    if answer.status_code != 200:
        assert_problem(answer, 400)


@each_dialect()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=64))
def test_any_bytes_are_refused(several, dialect, rows, names, body):
    _, headers = dialect.write(rows, names)
    assert_problem(dialect.send_body(several, "wine", body, **headers), 400, "xpected")


def test_every_dialect_has_the_same_bits_in_one_table(several, artifact, names):
    rows = golden_rows(artifact)
    answers = [dialect.send(several, "wine", rows.tolist(), names) for dialect in DIALECTS]
    assert len({bits(probabilities(answer)) for answer in answers}) == 1
    assert np.isfinite(probabilities(answers[0])).all()


def test_the_clients_of_the_readme_get_the_bits_of_json(several, artifact, names, monkeypatch):
    rows = golden_rows(artifact)
    given_names = {"rows": rows, "frame": pl.DataFrame(rows, names)}
    monkeypatch.setattr(
        httpx, "post", lambda _, **options: ask(several, "POST", "/predict", **options)
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    for block in (block for block in blocks if "httpx.post" in block):
        exec(block, given_names)  # noqa: S102 - our own
    expected = probabilities(LISTS.send(several, "wine", rows.tolist(), names))
    scores = given_names["scores"].select(pl.col("^probability_.*$")).to_numpy()
    assert bits(given_names["probabilities"]) == bits(expected)
    assert bits(np.ascontiguousarray(scores)) == bits(expected)
