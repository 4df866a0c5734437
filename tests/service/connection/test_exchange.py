"""Past ASGI or through it: the same answer to the same request, whatever happens on the way."""

import asyncio
import json
import socket
import time
from contextlib import closing

import httpx
import pytest
import uvicorn

from lockstep.errors import EngineFailure
from lockstep_service.app import create_app
from lockstep_service.batching.batcher import Batcher
from lockstep_service.connection.connection import Connection
from lockstep_service.connection.exchange import Exchange
from lockstep_service.connection.shortcuts import Shortcuts
from lockstep_service.http.placement import READ_IN_LOOP_BYTES
from lockstep_service.process.server import connections
from lockstep_service.settings import Settings
from serving import ask, assert_problem, golden_rows, listening, probabilities

pytestmark = pytest.mark.slow

BODY_LIMIT = 3_000_000
CHANGING = {"date", "x-request-id"}
OCTETS = {"inference-header-content-length": "0"}


@pytest.fixture(scope="module")
def app(models):
    return create_app(Settings(models=models, body_limit_bytes=BODY_LIMIT))


@pytest.fixture(scope="module")
def asgi_app(models):
    """The same application in the event loop of the test."""
    return create_app(Settings(models=models, body_limit_bytes=BODY_LIMIT))


@pytest.fixture(scope="module")
def port(app):
    with listening(app) as port:
        yield port


@pytest.fixture(scope="module")
def rows(artifact):
    return golden_rows(artifact)[:3]


@pytest.fixture
def taken(monkeypatch):
    """How many requests took the shortcut."""
    asked = []
    ask_before = Exchange.ask

    def ask_and_note(self, loop):
        asked.append(self)
        ask_before(self, loop)

    monkeypatch.setattr(Exchange, "ask", ask_and_note)
    return asked


def body_of(rows):
    return json.dumps({"instances": rows.tolist()}).encode()


def send(port, content, path="/predict", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"http://127.0.0.1:{port}{path}", content=content, headers=names)


def raw(port, data, *, until=b""):
    """What comes back for bytes, until the server hangs up or that word is there."""
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.sendall(data)
        answer = b""
        while not until or until not in answer:
            part = connection.recv(65536)
            if not part:
                break
            answer += part
        return answer


def kept(answer):
    return {name: value for name, value in answer.headers.items() if name not in CHANGING}


def without_id(answer):
    text = answer.text
    return text.replace(answer.headers["x-request-id"], "")


REQUESTS = {
    "rows": ("/predict", body_of, {}),
    "by name and version": ("/models/wine/versions/1/predict", body_of, {}),
    "one that is wrong": ("/predict", lambda _: b'{"instances": [[1]]}', {}),
    "no JSON": ("/predict", lambda _: b"<html>", {}),
    "no body": ("/predict", lambda _: b"", {}),
    "another type": ("/predict", body_of, {"content_type": "text/xml"}),
    "bad deadline": ("/predict", body_of, {"x_request_timeout_ms": "soon"}),
    "compressed answer": (
        "/predict",
        lambda rows: body_of(rows.repeat(40, axis=0)),
        {"accept_encoding": "gzip"},
    ),
    "binary": ("/v2/models/wine/infer", lambda rows: rows.tobytes(), OCTETS),
    "binary of the wrong size": ("/v2/models/wine/infer", lambda _: b"123", OCTETS),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_answer_past_asgi_is_the_answer_through_it(asgi_app, port, rows, taken, name):
    path, make, headers = REQUESTS[name]
    content = make(rows)
    short = send(port, content, path, **headers)
    assert len(taken) == 1
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    through = ask(asgi_app, "POST", path, content=content, headers=names)
    assert len(taken) == 1
    assert short.status_code == through.status_code
    assert without_id(short) == without_id(through)
    assert kept(short) == kept(through)


@pytest.mark.parametrize("path", ["/predict", "/v2/models/wine/infer"])
def test_a_large_body_is_read_in_a_thread_to_the_same_bits(asgi_app, port, rows, taken, path):
    binary = path != "/predict"
    many = rows.repeat(9000 if binary else 3000, axis=0)
    content = many.tobytes() if binary else body_of(many)
    assert READ_IN_LOOP_BYTES < len(content) < BODY_LIMIT
    headers = OCTETS if binary else {}
    short = send(port, content, path, **{name.replace("-", "_"): v for name, v in headers.items()})
    assert len(taken) == 1
    through = ask(asgi_app, "POST", path, content=content, headers=headers)
    assert short.status_code == through.status_code == 200
    assert short.content == through.content


def test_a_large_body_that_is_wrong_is_refused_in_its_own_words(port, rows, taken):
    content = body_of(rows.repeat(3000, axis=0))[:-1]
    assert_problem(send(port, content), 400, "Expected a JSON body")
    assert len(taken) == 1


UNCOMMON = {
    "a query": ("/predict?a=b", {}),
    "an encoded path": ("/%70redict", {}),
    "a compressed body": ("/predict", {"content_encoding": "identity"}),
}


@pytest.mark.parametrize("name", UNCOMMON)
def test_what_is_uncommon_goes_through_asgi_to_the_same_bits(port, rows, taken, name):
    path, headers = UNCOMMON[name]
    answer = send(port, body_of(rows), path, **headers)
    assert not taken
    assert probabilities(answer).tobytes() == probabilities(send(port, body_of(rows))).tobytes()


def test_a_body_in_pieces_of_unknown_length_goes_through_asgi(port, rows, taken):
    content = body_of(rows)
    answer = send(port, (content[i : i + 50] for i in range(0, len(content), 50)))
    assert not taken
    assert answer.content == send(port, content).content


def test_a_body_that_arrives_byte_by_byte_is_the_same_request(port, rows, taken):
    content = body_of(rows[:1])
    head = f"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + content:
            connection.sendall(bytes([byte]))
        answer = connection.recv(65536)
    assert len(taken) == 1
    assert send(port, content).content in answer


def test_a_body_over_the_limit_is_refused_through_asgi(port, taken):
    assert_problem(send(port, b" " * (BODY_LIMIT + 1)), 413, "at most 3000000 bytes")
    assert not taken


def test_an_expected_continue_is_said(port, rows, taken):
    content = body_of(rows[:1])
    head = (
        f"POST /predict HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
        f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(content)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert not taken


@pytest.mark.parametrize(
    ("version", "header", "lives"),
    [
        ("1.1", "", True),
        ("1.1", "connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "connection: keep-alive\r\n", False),
    ],
)
def test_a_connection_lives_as_long_as_the_client_says(port, rows, version, header, lives):
    content = body_of(rows[:1])
    head = f"POST /predict HTTP/{version}\r\nhost: a\r\ncontent-length: {len(content)}\r\n{header}"
    request = f"{head}\r\n".encode() + content
    last = request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
    answers = raw(port, request + last) if lives else raw(port, request)
    assert answers.count(b"200 OK") == 1 + lives
    assert answers.count(b"connection: close") == 1


def test_requests_at_once_down_one_connection_are_answered_in_their_order(port, rows):
    requests, expected = [], []
    for i in range(12):
        content = body_of(rows[i % 3 : i % 3 + 1])
        end = "connection: close\r\n" if i == 11 else ""
        head = f"POST /predict HTTP/1.1\r\nhost: a\r\nx-request-id: r{i}\r\n"
        head += f"content-length: {len(content)}\r\n"
        requests.append(f"{head}{end}\r\n".encode() + content)
        expected.append(send(port, content).content)
    answers = raw(port, b"".join(requests)).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert len(answers) == 12
    for i, answer in enumerate(answers):
        assert f"x-request-id: r{i}\r\n".encode() in answer
        assert answer.endswith(expected[i])


@pytest.mark.parametrize("error", [EngineFailure("tensor 0x7f"), ValueError("secret")])
@pytest.mark.parametrize("place", ["enqueue", "_run_rows"])
def test_a_failure_is_500_without_internals_and_the_connection_lives(
    port, rows, monkeypatch, capsys, error, place
):
    def failing(*_):
        raise error

    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        with monkeypatch.context() as patch:
            patch.setattr(Batcher, place, failing)
            answer = http.post("/predict", content=body_of(rows), headers={"x-request-id": "find"})
        assert_problem(answer, 500, "request id finds the reason")
        assert "secret" not in answer.text
        assert "find" in capsys.readouterr().out
        assert http.post("/predict", content=body_of(rows)).status_code == 200


def test_a_client_that_leaves_before_its_rows_are_run_is_counted_and_harms_nobody(app, port, rows):
    def status_499():
        text = ask(app, "GET", "/metrics").text
        name = 'lockstep_requests_total{route="/predict",status="499"}'
        return sum(float(line.split()[1]) for line in text.splitlines() if name in line)

    before = status_499()
    content = body_of(rows[:1])
    head = f"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: {len(content) + 1}\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.sendall(head.encode() + content)
    for _ in range(100):
        if status_499() > before:
            break
        time.sleep(0.02)
    assert status_499() == before + 1
    assert send(port, content).status_code == 200


class Socket:
    """A transport that notes what is written."""

    def __init__(self):
        self.written = b""
        self.closed = False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True


def exchange(app, rows, transport):
    content = body_of(rows)
    headers = {b"host": b"a", b"content-length": str(len(content)).encode()}
    shortcuts = app.shortcuts
    found = shortcuts.find(b"/predict", headers)
    made = Exchange(
        found,
        shortcuts,
        headers,
        transport,
        keep_alive=True,
        default_headers=[],
        on_response=lambda: None,
    )
    made.receive(content)
    return made


def test_rows_that_nobody_waits_for_are_not_run(models, rows, monkeypatch):
    app = create_app(Settings(models=models))
    ran = []
    run_before = Batcher._run_rows
    monkeypatch.setattr(
        Batcher, "_run_rows", lambda self, rows: ran.append(len(rows)) or run_before(self, rows)
    )
    gone, staying = Socket(), Socket()

    async def both():
        leaving, remaining = exchange(app, rows, gone), exchange(app, rows[:1], staying)
        loop = asyncio.get_running_loop()
        leaving.ask(loop)
        remaining.ask(loop)
        leaving.left()
        for _ in range(10):
            await asyncio.sleep(0)
        assert remaining.response_complete

    asyncio.run(both())
    assert ran == [1]
    assert gone.written == b""
    assert staying.written.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("leaves", [True, False])
def test_a_body_is_held_no_longer_than_it_is_needed(models, rows, leaves):
    app = create_app(Settings(models=models))

    async def asked():
        made = exchange(app, rows, Socket())
        assert made._body
        made.ask(asyncio.get_running_loop())
        if leaves:
            made.left()
        for _ in range(10):
            await asyncio.sleep(0)
        assert made.response_complete != leaves
        return made._body

    assert asyncio.run(asked()) == b""


def test_a_path_has_a_shortcut_only_where_its_version_is_served(app):
    assert isinstance(app.shortcuts, Shortcuts)
    paths = set(app.shortcuts.paths)
    assert {b"/predict", b"/models/wine/predict", b"/v2/models/wine/versions/1/infer"} <= paths
    assert all(b"{" not in path for path in paths)


def test_a_connection_that_is_not_read_from_takes_no_shortcut(app):
    """Else answers would gather without end for a client that never reads them."""
    assert issubclass(Connection, asyncio.Protocol)
    config = uvicorn.Config(app, lifespan="off")
    config.load()
    state = uvicorn.server.ServerState()
    connection = connections(app)(
        config=config, server_state=state, app_state={}, _loop=asyncio.new_event_loop()
    )

    class Wire(asyncio.Transport):
        def get_extra_info(self, name, default=None):
            del name
            return default

    connection.connection_made(Wire())
    assert connection._is_idle()
    connection.pause_writing()
    assert not connection._is_idle()
    connection.resume_writing()
    assert connection._is_idle()
    connection.loop.close()
