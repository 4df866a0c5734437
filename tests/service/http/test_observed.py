"""Every answer has an id and is counted; no error leaves without an answer."""

import asyncio
import json

import pytest

from lockstep.errors import EngineFailure
from lockstep_service.app import create_app
from lockstep_service.batching.batcher import Batcher
from lockstep_service.settings import Settings
from serving import ask, assert_problem, client, golden_rows, post


@pytest.fixture
def own_app(models):
    """An application of the test's own, whose batcher it may spoil."""
    return create_app(Settings(models=models))


@pytest.fixture(scope="module")
def body(artifact):
    return {"instances": golden_rows(artifact)[:1].tolist()}


def count(app, labels):
    text = ask(app, "GET", "/metrics").text
    line = next(line for line in text.splitlines() if labels in line and "_total{" in line)
    return float(line.split()[-1])


@pytest.mark.parametrize("given", ["abc-123", "a" * 128, "00-0af7651916cd43dd-01", "A:b/c+d="])
@pytest.mark.parametrize("path", ["/v2", "/nothing", "/predict"])
def test_a_plain_id_is_echoed_whatever_the_answer(app, given, path):
    answer = ask(app, "GET", path, headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given
    if answer.is_error:
        assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "<script>", 'a"b', "é".encode(), "a\tb"])
def test_an_id_that_is_not_plain_is_replaced(app, given):
    answer = ask(app, "GET", "/nothing", headers={"x-request-id": given})
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_ids_differ_where_none_is_given(app):
    assert len({ask(app, "GET", "/v2").headers["x-request-id"] for _ in range(10)}) == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineFailure("tensor 0x7f at /secret"), "engine_failure"),
        (ValueError("secret"), "internal"),
        (MemoryError("secret"), "internal"),
    ],
)
def test_a_failure_is_500_without_internals_and_the_log_has_its_id(
    own_app, body, monkeypatch, capsys, error, code
):
    async def failing(*_):
        raise error

    monkeypatch.setattr(Batcher, "submit", failing)
    content = json.dumps(body).encode()
    answer = ask(own_app, "POST", "/predict", content=content, headers={"x-request-id": "find-me"})
    assert_problem(answer, 500, "request id finds the reason in its log")
    assert answer.json()["code"] == code
    assert "secret" not in answer.text
    log = capsys.readouterr().out
    assert "find-me" in log
    assert type(error).__name__ in log


def test_a_client_that_leaves_while_it_sends_is_nobodys_error(own_app, capsys):
    sent = []

    async def send(message):
        sent.append(message)

    async def leave():
        messages = iter(
            [
                {"type": "http.request", "body": b'{"inst', "more_body": True},
                {"type": "http.disconnect"},
            ]
        )

        async def receive():
            return next(messages)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "raw_path": b"/predict",
            "root_path": "",
            "query_string": b"",
            "headers": [],
        }
        await own_app(scope, receive, send)

    asyncio.run(leave())
    assert sent == []
    assert "request failed" not in capsys.readouterr().out
    assert count(own_app, 'route="/predict",status="499"') == 1


def test_answers_are_counted_by_route_and_status_and_names_make_no_series(own_app, body):
    assert post(own_app, "/predict", body).status_code == 200
    for i in range(5):
        assert post(own_app, f"/models/m{i}/predict", body).status_code == 404
        assert ask(own_app, "GET", f"/v2/models/m{i}/ready").status_code == 404
        assert ask(own_app, "GET", f"/nothing/{i}").status_code == 404
        assert ask(own_app, "DELETE", "/predict").status_code == 405
    assert count(own_app, 'route="/predict",status="200"') == 1
    assert count(own_app, 'route="/predict",status="405"') == 5
    assert count(own_app, 'route="/models/{name}/predict",status="404"') == 5
    assert count(own_app, 'route="/v2/models/{name}/ready",status="404"') == 5
    assert count(own_app, 'route="unmatched",status="404"') == 5
    text = ask(own_app, "GET", "/metrics").text
    assert "m1" not in text
    assert "nothing" not in text


def test_a_full_queue_is_answered_with_the_seconds_to_wait(models, artifact):
    app = create_app(Settings(models=models, max_batch_rows=1, max_queue_rows=4))
    rows = golden_rows(artifact)[:4]

    async def asked():
        async with client(app) as http:
            content = json.dumps({"instances": rows.tolist()}).encode()
            return await asyncio.gather(
                *(http.post("/predict", content=content) for _ in range(10))
            )

    answers = asyncio.run(asked())
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert_problem(answer, 503, "at most 4 rows to wait")
            assert answer.json()["code"] == "queue_full"
            assert int(answer.headers["retry-after"]) >= 1


def test_after_the_application_has_stopped_it_takes_nothing_more(own_app, body):
    async def lived():
        async with own_app.router.lifespan_context(own_app):
            pass

    asyncio.run(lived())
    answer = post(own_app, "/predict", body)
    assert_problem(answer, 503, "stopping")
    assert answer.headers["retry-after"] == "1"


def test_readiness_is_gone_while_the_service_is_stopping(own_app):
    own_app.state.gate.stopping = True
    assert ask(own_app, "GET", "/v2/health/ready").status_code == 503
    assert ask(own_app, "GET", "/v2/health/live").status_code == 200
