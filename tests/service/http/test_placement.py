"""What is long is done in a thread, the rest in the event loop, and no parser is used in both."""

import asyncio
import gzip
import json
from threading import get_ident

import numpy as np
import pytest
import simdjson

from dialects import ARROW, LENGTH, NPY, npy_bytes
from lockstep_service.app import create_app
from lockstep_service.connection.exchange import Exchange
from lockstep_service.dialects.oip.infer import Infer
from lockstep_service.dialects.plain import Predict
from lockstep_service.forms.bulk import BulkReader
from lockstep_service.http.placement import (
    READ_IN_LOOP_BYTES,
    WRITE_IN_LOOP_VALUES,
    is_long_to_read,
    is_long_to_write,
)
from lockstep_service.settings import Settings
from serving import ask, client, golden_rows, probabilities

MANY = 16_380
PATIENCE_S = 20
INFER = "/v2/models/wine/infer"
CLASSES = 3


@pytest.fixture(scope="module")
def app(models):
    return create_app(Settings(models=models))


@pytest.fixture(scope="module")
def rows(artifact):
    """So many rows that their answer is long, of which every one after the 79th is there again."""
    return np.resize(golden_rows(artifact)[:79], (MANY, 13))


@pytest.fixture
def places(monkeypatch):
    """In which threads bodies are read, and answers written."""
    places = {"read": [], "written": []}

    def note(dialect):
        question_before = dialect.question

        def question_and_note(self, *request):
            places["read"].append(get_ident())
            question = question_before(self, *request)

            def write_and_note(answers):
                places["written"].append(get_ident())
                return question.write(answers)

            return question._replace(write=write_and_note)

        monkeypatch.setattr(dialect, "question", question_and_note)

    note(Predict)
    note(Infer)
    return places


class Wire(asyncio.Transport):
    """A socket that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""

    def write(self, data):
        self.written += data


def past_asgi(app, path, content, headers):
    """The body of the answer to a request on the short way."""
    named = {name.encode(): value.encode() for name, value in headers.items()}
    named |= {b"host": b"test"}
    named[b"content-length"] = str(len(content)).encode()
    wire = Wire()

    async def asked():
        loop, answered = asyncio.get_running_loop(), asyncio.Event()
        made = Exchange(
            app.shortcuts.find(path.encode(), named),
            app.shortcuts,
            named,
            wire,
            keep_alive=True,
            default_headers=[],
            on_response=answered.set,
        )
        made.receive(content)
        made.ask(loop)
        async with asyncio.timeout(PATIENCE_S):
            await answered.wait()

    asyncio.run(asked())
    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), body
    return body


def through_asgi(app, path, content, headers):
    """The same through the application."""
    answer = ask(app, "POST", path, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.content


WAYS = {"past ASGI": past_asgi, "through ASGI": through_asgi}
FORMS = {
    "npy, JSON": ("/predict", npy_bytes, {"content-type": NPY}),
    "npy, JSON compressed": (
        "/predict",
        npy_bytes,
        {"content-type": NPY, "accept-encoding": "gzip"},
    ),
    "npy, Arrow": ("/predict", npy_bytes, {"content-type": NPY, "accept": ARROW}),
    "raw binary": (INFER, np.ndarray.tobytes, {LENGTH: "0"}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1, 100, MANY])
def test_a_long_answer_to_a_short_body_is_written_in_a_thread(app, rows, places, way, form, n):
    path, write, headers = FORMS[form]
    body = write(rows[:n])
    assert len(body) < READ_IN_LOOP_BYTES
    WAYS[way](app, path, body, headers)
    assert places["read"] == [get_ident()]
    assert len(places["written"]) == 1
    assert (places["written"] == [get_ident()]) == (n < MANY)


def test_short_and_long_answers_at_once_have_their_own_bits(app, rows):
    """Compressed or not, small bodies between large answers: each gets its own rows."""
    expected = probabilities(ask(app, "POST", "/predict", content=json_of(rows[:79])))

    async def everything():
        async with client(app) as http:

            async def asked(start, n, *, packed):
                if n == MANY:
                    body, headers = npy_bytes(rows), {"content-type": NPY}
                else:
                    body, headers = json_of(rows[start : start + n]), {}
                if packed:
                    body, headers["content-encoding"] = gzip.compress(body), "gzip"
                answer = await http.post("/predict", content=body, headers=headers)
                found = probabilities(answer)
                assert (
                    found.tobytes() == np.resize(expected, (start + n, CLASSES))[start:].tobytes()
                )

            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
                for i in range(120):
                    large = i % 40 == 0
                    group.create_task(
                        asked(
                            0 if large else i % 70, MANY if large else 1 + i % 9, packed=i % 2 == 1
                        )
                    )

    asyncio.run(everything())


def json_of(rows):
    return json.dumps({"instances": rows.tolist()}).encode()


class NotingParser:
    """A SIMD parser that notes in which threads it parses, and how much."""

    made: list["NotingParser"]
    parser = simdjson.Parser

    def __init__(self):
        self._parser = self.parser()
        self.threads, self.sizes = set(), []
        self.made.append(self)

    def parse(self, body):
        self.threads.add(get_ident())
        self.sizes.append(len(body))
        return self._parser.parse(body)


@pytest.fixture
def parsers(monkeypatch):
    """Every parser that is made meanwhile."""
    monkeypatch.setattr(NotingParser, "made", [], raising=False)
    monkeypatch.setattr(simdjson, "Parser", NotingParser)
    return NotingParser.made


def test_a_body_that_is_read_in_a_thread_never_meets_the_parser_of_the_loop(models, rows, parsers):
    app = create_app(Settings(models=models))

    async def both_kinds():
        async with client(app) as http:
            body = json_of(rows[:5])
            packed = {"content-encoding": "gzip"}
            answers = await asyncio.gather(
                *(http.post("/predict", content=body) for _ in range(20)),
                *(
                    http.post("/predict", content=gzip.compress(body), headers=packed)
                    for _ in range(20)
                ),
            )
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].status_code == 200

    asyncio.run(both_kinds())
    assert all(len(parser.threads) <= 1 for parser in parsers)
    used = [thread for parser in parsers for thread in parser.threads]
    assert get_ident() in used
    assert len(set(used)) > 1


def test_the_memory_that_a_large_body_took_is_not_kept_in_a_parser(parsers):
    reader = BulkReader(13)
    small, large = json_of(np.ones((1, 13))), json_of(np.ones((20_000, 13)))
    assert len(large) >= READ_IN_LOOP_BYTES
    for body in (small, large, small, large, small):
        assert reader.read(body) is not None
    assert sorted(parser.sizes for parser in parsers) == sorted(
        [[len(small)] * 3, [len(large)], [len(large)]]
    )


@pytest.mark.parametrize("width", [1, 2, 10, 500])
def test_an_answer_is_long_by_its_rows_and_their_width(width):
    most = WRITE_IN_LOOP_VALUES // (width + 1)

    def answers(n):
        return np.zeros((n, width), np.float32), np.zeros(n, np.int64)

    assert not is_long_to_write(answers(most))
    assert is_long_to_write(answers(most + 1))


def test_a_body_is_long_by_its_bytes_or_where_it_may_unpack_to_more():
    assert not is_long_to_read(READ_IN_LOOP_BYTES - 1, {})
    assert is_long_to_read(READ_IN_LOOP_BYTES, {})
    assert is_long_to_read(1, {b"content-encoding": b"gzip"})
