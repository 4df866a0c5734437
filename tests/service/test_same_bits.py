"""One row, one answer: alone, in any batch, among any neighbours, over HTTP, with both engines."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.engine.tile import TiledEngine
from lockstep.scoring.score import score
from lockstep_service.app import create_app
from lockstep_service.settings import Settings
from serving import (
    ask,
    bits,
    client,
    engine_of,
    golden_rows,
    post,
    probabilities,
    read_scores,
    write_table,
)

pytestmark = pytest.mark.slow

PATHS = ("/predict", "/v2/models/wine/infer")


@pytest.fixture(scope="module")
def rows(artifact):
    return golden_rows(artifact)


@pytest.fixture(scope="module")
def engine(each_app):
    """The engine as it serves, opened once more and asked without the service."""
    served = each_app.state.repository.find("wine")
    plain = engine_of(served.artifact, served.proof.engine)
    return TiledEngine(plain, served.proof.tile) if served.proof.tile else plain


def request(path, rows):
    if path == "/predict":
        return {"instances": rows.tolist()}
    tensor = {"name": "features", "shape": list(rows.shape), "datatype": "FP32"}
    return {"inputs": [{**tensor, "data": rows.reshape(-1).tolist()}]}


def predict(app, rows, path="/predict"):
    return probabilities(post(app, path, request(path, rows)))


def alone(app, rows):
    """Each row in a request of its own."""
    return np.concatenate([predict(app, row[None]) for row in rows])


def together(app, batches, path="/predict"):
    """Requests that are sent at once, and so may run together."""

    async def sent():
        async with client(app) as http:
            return await asyncio.gather(
                *(http.post(path, json=request(path, batch)) for batch in batches)
            )

    return [probabilities(answer) for answer in asyncio.run(sent())]


@pytest.mark.parametrize("path", PATHS)
def test_the_same_row_fifty_times_gives_the_same_bytes(each_app, rows, path):
    answers = {post(each_app, path, request(path, rows[:1])).content for _ in range(50)}
    assert len(answers) == 1


def test_a_row_in_one_request_many_times_has_the_same_bits_each_time(each_app, rows):
    answer = predict(each_app, np.repeat(rows[:1], 300, axis=0))
    assert (answer.view(np.uint32) == answer[0].view(np.uint32)).all()


@pytest.mark.parametrize("path", PATHS)
def test_http_gives_the_bits_of_the_engine(each_app, engine, rows, path):
    assert bits(predict(each_app, rows, path)) == bits(engine.run(rows)[0])


def test_batch_size_1_gives_the_bits_of_every_row_of_the_whole_batch(each_app, rows):
    assert bits(alone(each_app, rows)) == bits(predict(each_app, rows))


@settings(max_examples=40, deadline=None)
@given(drawn=st.lists(st.integers(0, 78), min_size=1, max_size=140), path=st.sampled_from(PATHS))
def test_a_row_has_the_bits_that_it_has_alone_in_any_batch(each_app, rows, path, drawn):
    expected = alone_bits(each_app, rows)
    assert bits(predict(each_app, rows[drawn], path)) == bits(expected[drawn])


@settings(max_examples=20, deadline=None)
@given(
    drawn=st.lists(st.lists(st.integers(0, 78), min_size=1, max_size=12), min_size=2, max_size=30),
    path=st.sampled_from(PATHS),
)
def test_requests_that_run_together_get_the_bits_that_they_get_alone(each_app, rows, path, drawn):
    expected = alone_bits(each_app, rows)
    answers = together(each_app, [rows[batch] for batch in drawn], path)
    for batch, answer in zip(drawn, answers, strict=True):
        assert bits(answer) == bits(expected[batch])


_ALONE = {}


def alone_bits(app, rows):
    """Each row's answer alone, asked for once an application."""
    if id(app) not in _ALONE:
        _ALONE[id(app)] = alone(app, rows)
    return _ALONE[id(app)]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_rows_that_nobody_has_seen_keep_their_bits_among_outliers(each_app, rows, data):
    value = st.floats(-1e6, 1e6, width=32)
    row = data.draw(st.lists(value, min_size=13, max_size=13))
    fresh = np.array([row], np.float32)
    place = data.draw(st.integers(0, 60))
    batch = np.insert(rows[:60] * np.float32(1e3), place, fresh, axis=0)
    assert bits(predict(each_app, batch)[place : place + 1]) == bits(predict(each_app, fresh))


def test_requests_that_come_at_once_do_run_together(models, rows):
    """Else the tests above would compare batches of one request with themselves."""
    app = create_app(Settings(models=models))
    together(app, [rows[i : i + 1] for i in range(40)])
    metrics = ask(app, "GET", "/metrics").text
    runs = float(metrics.partition("lockstep_batch_rows_count{")[2].split()[1])
    assert runs < 40
    assert 'lockstep_batch_rows_sum{model="wine",version="1"} 40.0' in metrics


@pytest.mark.parametrize("max_batch_rows", [1, 3, 64])
@pytest.mark.parametrize("engine_name", ["onnx", "torchscript"])
def test_a_request_larger_than_a_run_has_the_same_bits(models, rows, engine_name, max_batch_rows):
    given_settings = Settings(models=models, engine=engine_name, max_batch_rows=max_batch_rows)
    app = create_app(given_settings)
    assert bits(predict(app, rows)) == bits(alone(app, rows))


def test_both_engines_agree_within_the_bound_of_parity(app, torchscript_app, rows):
    assert np.abs(predict(app, rows) - predict(torchscript_app, rows)).max() <= 1e-5


def test_offline_scoring_gives_the_bits_of_the_service(each_app, artifact, rows, tmp_path):
    served = each_app.state.repository.find("wine")
    names = [column.name for column in served.manifest.columns]
    table, output = write_table(tmp_path / "table.csv", names, rows), tmp_path / "scores.csv"
    score(artifact, table, output, engine=served.proof.engine, note=print)
    labels, offline = read_scores(output.read_text())
    answer = post(each_app, "/predict", request("/predict", rows))
    assert bits(offline) == bits(probabilities(answer))
    assert labels == [prediction["label"] for prediction in answer.json()["predictions"]]


def test_a_regression_gives_the_bits_of_its_engine(diabetes):
    path = diabetes.path
    app = create_app(Settings(models=path))
    rows = golden_rows(path)
    served = app.state.repository.find("diabetes")
    expected = engine_of(served.artifact, "onnx").run(rows)[0]
    assert bits(predict(app, rows)) == bits(expected)
    assert bits(alone(app, rows)) == bits(expected)


def test_a_body_of_the_shortest_decimals_gives_the_bits_of_a_body_of_long_ones(app, rows):
    """A client may print float32 either way."""
    lines = "],[".join(",".join(str(value) for value in row) for row in rows[:8])
    body = f'{{"instances":[[{lines}]]}}'.encode()
    assert bits(probabilities(post(app, "/predict", body))) == bits(predict(app, rows[:8]))
