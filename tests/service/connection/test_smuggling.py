"""One request is one request: for every parser, and however its bytes are cut."""

import itertools
import socket
from contextlib import closing

import pytest

from lockstep_service.app import create_app
from lockstep_service.connection import connection as connection_module
from lockstep_service.settings import Settings
from serving import ask, listening
from wire import Peer, requests_of_h11

pytestmark = pytest.mark.slow

ROWS = b'{"instances": [[1,1,1,1,1,1,1,1,1,1,1,1,1]]}'
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(ROWS)
BODY_LIMIT = 1000


def chunks(body=ROWS, size=b"", end=b"0\r\n\r\n"):
    return (size or b"%x" % len(body)) + b"\r\n" + body + b"\r\n" + end


def post(headers=LENGTH, body=ROWS, line=b"POST /predict HTTP/1.1", host=b"Host: a\r\n"):
    return b"%b\r\n%b%b\r\n%b" % (line, host, headers, body)


def get(line, host=b"Host: a\r\n"):
    return b"%b\r\n%b\r\n" % (line, host)


def length(value):
    return post(b"Content-Length: %b\r\n" % value)


def coded(value):
    return post(b"Transfer-Encoding: %b\r\n" % value, chunks())


def chunked(body):
    return post(CHUNKED, body)


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
    "anything": b"Upgrade: TLS/1.2, x/1\r\nConnection: upgrade\r\n",
    "twice": b"Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
    "without connection": b"Upgrade: h2c\r\n",
}

# What a well-behaved client or proxy sends, each 200.
ACCEPTED = {
    "a length": post(),
    "chunks": chunked(chunks()),
    "two chunks": chunked(chunks(ROWS[:9], end=chunks(ROWS[9:]))),
    "zeros before a size": chunked(chunks(size=b"000%x" % len(ROWS))),
    "an extension": chunked(chunks(size=b"%x;a=1" % len(ROWS))),
    "a quoted extension": chunked(chunks(size=b'%x;a="b;c"' % len(ROWS))),
    "an extension of the last chunk": chunked(chunks(end=b"0;a\r\n\r\n")),
    "a trailer": chunked(chunks(end=b"0\r\nX-Checksum: 1\r\n\r\n")),
    "capitals": coded(b"CHUNKED"),
    "spaces around a length": length(b"  %d " % len(ROWS)),
    "zeros before a length": length(b"0%d" % len(ROWS)),
    "empty lines first": b"\r\n\r\n" + post(),
    "a port": post(host=b"Host: a.example:8080\r\n"),
    "a name with a line": post(host=b"Host: my_service\r\n"),
    "IPv6": post(host=b"Host: [::1]:80\r\n"),
    "an absolute target": post(line=b"POST http://A/predict HTTP/1.1"),
    "a header twice": post(LENGTH + b"X-Forwarded-For: b\r\nX-Forwarded-For: c\r\n"),
    "a value in Latin-1": post(LENGTH + b"X-Name: caf\xe9\r\n"),
    "another expectation": post(LENGTH + b"Expect: wonders\r\n"),
    "GET": LIVE,
    "GET with a body": post(LENGTH, SMUGGLED + b" " * (len(ROWS) - len(SMUGGLED)), LIVE[:28]),
    **{f"upgrade to {name}": post(lines + LENGTH) for name, lines in UPGRADES.items()},
    **{f"{name}, chunks": post(lines + CHUNKED, chunks()) for name, lines in UPGRADES.items()},
    **{f"{name}, GET": LIVE[:-2] + lines + b"\r\n" for name, lines in UPGRADES.items()},
}
REFUSED = {
    "no host": post(host=b""),
    "two hosts": post(host=b"Host: a\r\nHost: b\r\n"),
    "the same host twice": post(host=b"Host: a\r\nHost: a\r\n"),
    "an empty host": post(host=b"Host: \r\n"),
    "two names": post(host=b"Host: a, b\r\n"),
    "joined names": post(host=b"Host: a,b\r\n"),
    "a path in the host": post(host=b"Host: a/b\r\n"),
    "a user in the host": post(host=b"Host: a@b\r\n"),
    "a port that is none": post(host=b"Host: a:b\r\n"),
    "a host without end": post(host=b"Host: %b\r\n" % (b"a" * 301)),
    "two hosts in HTTP/1.0": get(b"GET /v2 HTTP/1.0", b"Host: a\r\nHost: b\r\n"),
    "length and chunks": post(LENGTH + CHUNKED, chunks()),
    "chunks and length": post(CHUNKED + LENGTH, chunks()),
    "two lengths": post(LENGTH + b"Content-Length: 0\r\n"),
    "the same length twice": post(LENGTH + LENGTH),
    "a length with a line": post(b"Content_Length: 9\r\n"),
    "a coding with a line": post(b"Transfer_Encoding: chunked\r\n" + LENGTH),
    "HTTP/1.0 with chunks": post(CHUNKED, chunks(), b"POST /predict HTTP/1.0"),
    "two codings": post(CHUNKED + CHUNKED, chunks()),
    "HTTP/0.9": b"GET /v2\r\n\r\n",
    "HTTP/0.9 by name": get(b"GET /v2 HTTP/0.9"),
    "HTTP/1.2": get(b"GET /v2 HTTP/1.2"),
    "HTTP/1.10": get(b"GET /v2 HTTP/1.10"),
    "HTTP/2.0": get(b"GET /v2 HTTP/2.0"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "http": get(b"GET /v2 http/1.1"),
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    "a space first": b" " + post(),
    "CONNECT": post(line=b"CONNECT a:80 HTTP/1.1"),
    "CONNECT to a path": post(line=b"CONNECT /predict HTTP/1.1"),
    "bare LF": post().replace(b"\r\n", b"\n"),
    "bare LF in the first line": post().replace(b"\r\n", b"\n", 1),
    "bare LF in a header": post(b"X: y\n" + LENGTH),
    "bare LF at the end": LIVE[:-2] + b"\n",
    "bare CR in the first line": post().replace(b"\r\n", b"\r", 1),
    "bare CR in a header": post(b"X: y\rZ: z\r\n" + LENGTH),
    "CR before CRLF": post(b"X: y\r\r\n" + LENGTH),
    "CR before the end": LIVE[:-2] + b"\r\r\n",
    "tabs in the first line": get(b"GET\t/v2\tHTTP/1.1"),
    "a space behind the first line": get(b"GET /v2 HTTP/1.1 "),
    "a space in the target": get(b"GET /v2 x HTTP/1.1"),
    "a NUL in the target": get(b"GET /v2\0 HTTP/1.1"),
    "a tab in the target": get(b"GET /v2\tx HTTP/1.1"),
    "a control character in the target": get(b"GET /v2\x01 HTTP/1.1"),
    "Latin-1 in the target": get(b"GET /v2\xe9 HTTP/1.1"),
    "Latin-1 in the query": get(b"GET /v2?\xe9 HTTP/1.1"),
    "a fragment": get(b"GET /v2#x HTTP/1.1"),
    "another host in the target": get(b"GET http://b/v2 HTTP/1.1"),
    "a user in the target": get(b"GET http://u@a/v2 HTTP/1.1"),
    "another scheme": get(b"GET ftp://a/v2 HTTP/1.1"),
    "a URL without a path": get(b"GET http://a HTTP/1.1"),
    "an authority": get(b"GET a:80 HTTP/1.1"),
    "a relative target": get(b"GET v2 HTTP/1.1"),
    "an asterisk": get(b"GET * HTTP/1.1"),
    "a folded header": post(b"X: y\r\n z\r\n" + LENGTH),
    "a header folded by a tab": post(b"X: y\r\n\tz\r\n" + LENGTH),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked\r\n", chunks()),
    "a folded first header": post(host=b" Host: a\r\n"),
    "a space before a colon": post(b"X : y\r\n" + LENGTH),
    "a tab before a colon": post(b"X\t: y\r\n" + LENGTH),
    "a space before the length's colon": post(b"Content-Length : 9\r\n"),
    "no colon": post(b"X\r\n" + LENGTH),
    "no name": post(b": y\r\n" + LENGTH),
    "a header in two words": post(b"X Y: z\r\n" + LENGTH),
    **{
        f"{byte!r} in {place}": post(
            (b"X: y%bz\r\n" if place == "a value" else b"X%by: z\r\n") % byte
        )
        for byte, place in itertools.product(
            (b"\0", b"\x01", b"\x0b", b"\x7f"), ("a value", "a name")
        )
    },
    "Latin-1 in a name": post(b"X\xe9: y\r\n" + LENGTH),
    **{
        f"length {value!r}": length(value)
        for value in (
            *(
                b"+9",
                b"-9",
                b"0x9",
                b"9, 9",
                b"9,9",
                b"",
                b"1_0",
                b"9 9",
                b"9a",
                b"9;",
                b"9.0",
                b'"9"',
            ),
            *(b"\x0b9", b"9\x0b", b"9\0", b"9" * 20, b"18446744073709551615", b"0" * 5000 + b"9"),
        )
    },
    **{
        f"coding {value!r}": coded(value)
        for value in (
            *(b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity", b"xchunked"),
            *(b"identity, chunked", b"chunkedx", b"chunked;q=1", b"chunked,", b",chunked", b""),
            *(b'"chunked"', b"chun ked", b"gzip", b"\x0bchunked", b"chunked\x0b", b"chunked\t"),
            *(b"chunked ", b"\x0cchunked", b"chunked\0"),
        )
    },
    **{
        f"chunk size {size!r}": chunked(chunks(size=size))
        for size in (
            *(
                b"0x2c",
                b"2c ",
                b" 2c",
                b"+2c",
                b"-1",
                b"2_c",
                b"2c,",
                b"\t2c",
                b"2c\t",
                b"g",
                b"2c ;a",
            ),
            *(b"2c; a", b"2c;", b"1000000000000002c", b"2c;a\0", b"2c;a\x0b", b'2c;a="\r\n"'),
            *(b'2c;a="\n"', b"2c;a\n", b"2c;a\r"),
        )
    },
    "no chunk size": chunked(b"\r\n" + ROWS),
    "LF behind a size": chunked(chunks().replace(b"\r\n", b"\n", 1)),
    "LF behind a chunk": chunked(chunks().replace(b"}\r\n", b"}\n", 1)),
    "nothing behind a chunk": chunked(chunks().replace(b"}\r\n", b"}", 1)),
    "more than a chunk": chunked(chunks().replace(b"}\r\n", b"}XX", 1)),
    "LF behind the last chunk": chunked(chunks(end=b"0\n\n")),
    "LF behind the trailers": chunked(chunks(end=b"0\r\n\n")),
    **{
        f"{name.decode()} in the trailers": chunked(chunks(end=b"0\r\n%b: a\r\n\r\n" % name))
        for name in (
            *(b"Host", b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Connection"),
            *(b"Authorization", b"Content_Length"),
        )
    },
    "a trailer with a space before its colon": chunked(chunks(end=b"0\r\nX : y\r\n\r\n")),
    "an upgrade in the trailers": chunked(
        chunks(end=b"0\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n")
    ),
    "an upgrade without a host": post(UPGRADES["h2c"] + LENGTH, host=b""),
    "an upgrade with another coding": post(
        UPGRADES["h2c"] + b"Transfer-Encoding: gzip, chunked\r\n", chunks()
    ),
    "an upgrade with a bad chunk": post(UPGRADES["h2c"] + CHUNKED, chunks(size=b"0x2c")),
}
# Requests that are refused for what they ask, with a body that would be a request if it were read
# as one, and what follows them: the statuses of both.
BODY = SMUGGLED * 2
SIZED = b"Content-Length: %d\r\n" % len(BODY)
BODIES = {
    "no rows": (post(SIZED, BODY), [400, 200]),
    "no rows, chunks": (post(CHUNKED, chunks(BODY)), [400, 200]),
    "another path": (post(SIZED, BODY, b"POST /none HTTP/1.1"), [404, 200]),
    "another path, chunks": (post(CHUNKED, chunks(BODY), b"POST /none HTTP/1.1"), [404, 200]),
    "another model": (post(SIZED, BODY, b"POST /models/none/predict HTTP/1.1"), [404, 200]),
    "another method": (post(SIZED, BODY, b"PUT /predict HTTP/1.1"), [405, 200]),
    "another method, chunks": (
        post(CHUNKED, chunks(BODY), b"DELETE /predict HTTP/1.1"),
        [405, 200],
    ),
    "another type": (post(SIZED + b"Content-Type: text/xml\r\n", BODY), [415, 200]),
    "another type, chunks": (
        post(CHUNKED + b"Content-Type: text/xml\r\n", chunks(BODY)),
        [415, 200],
    ),
    "an unknown compression": (post(SIZED + b"Content-Encoding: x\r\n", BODY), [415, 200]),
    "too large": (post(b"Content-Length: 1001\r\n", BODY + b" " * (1001 - len(BODY))), [413]),
    "too large by far": (post(b"Content-Length: 9999999999999999999\r\n", BODY), [413]),
    "too large, chunks": (post(CHUNKED, chunks(BODY + b" " * 1001)), [413]),
    "an expectation and no rows": (post(SIZED + b"Expect: 100-continue\r\n", BODY), [400, 200]),
    # Nobody knows whether the body comes: the client was told nothing.
    "an expectation and another path": (
        post(SIZED + b"Expect: 100-continue\r\n", BODY, b"POST /none HTTP/1.1"),
        [404],
    ),
    "an upgrade and no rows": (post(UPGRADES["h2c"] + SIZED, BODY), [400, 200]),
    "an upgrade and another path": (
        post(UPGRADES["h2c"] + CHUNKED, chunks(BODY), b"POST /none HTTP/1.1"),
        [404, 200],
    ),
    "a last request": (post(SIZED + b"Connection: close\r\n", BODY), [400]),
    "a last upgrade": (
        post(SIZED + b"Connection: close, upgrade\r\nUpgrade: h2c\r\n", BODY),
        [400],
    ),
    "HTTP/1.0": (post(SIZED, BODY, b"POST /predict HTTP/1.0", host=b""), [400]),
    "HTTP/1.0 that stays": (
        post(SIZED + b"Connection: keep-alive\r\n", BODY, b"POST /predict HTTP/1.0"),
        [400],
    ),
}


@pytest.fixture(scope="module")
def app(models):
    return create_app(Settings(models=models, body_limit_bytes=BODY_LIMIT))


@pytest.fixture(scope="module")
def peer(app):
    peer = Peer(app)
    yield peer
    peer.close()


def cuts(data):
    """The bytes whole, in two parts at every place, and one by one."""
    yield (data,)
    # In thousands of equal bytes every place is like its neighbour.
    for place in range(1, len(data), max(1, len(data) // 400)):
        yield data[:place], data[place:]
    yield tuple(data[i : i + 1] for i in range(len(data)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_request_is_answered_and_the_next_one_too_wherever_they_are_cut(peer, name):
    data = ACCEPTED[name] + LIVE
    for parts in cuts(data):
        answered = peer.send(*parts)
        assert answered.statuses == [200, 200], parts
        assert not answered.closed
        assert "/smuggled" not in answered.asked
    assert requests_of_h11(data) in {2, None}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused_once_and_nothing_behind_it_is_read(peer, name):
    data = REFUSED[name] + SMUGGLED + LIVE
    for parts in cuts(data):
        answered = peer.send(*parts)
        assert answered.statuses == [400], parts
        assert answered.closed
        assert b"\r\nconnection: close\r\n" in answered.written
        assert b'"error":"Expected ' in answered.written
        assert not {"/smuggled", "/v2/health/live", "/v2"}.intersection(answered.asked)


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_a_body_belongs_to_its_request_also_where_that_is_refused(peer, name):
    request, statuses = BODIES[name]
    data = request + LIVE
    for parts in cuts(data):
        answered = peer.send(*parts)
        assert answered.statuses == statuses, parts
        assert answered.closed == (len(statuses) == 1)
        assert answered.closed == (b"\r\nconnection: close\r\n" in answered.written)
        assert "/smuggled" not in answered.asked
        seen = requests_of_h11(data)
        assert seen is None or len(answered.statuses) <= seen


@pytest.mark.parametrize("name", ["no host", "bare LF", "coding b'gzip, chunked'", "CONNECT"])
def test_what_was_right_is_answered_before_what_is_wrong(peer, name):
    for before in (post(), post(CHUNKED, chunks()), LIVE * 3):
        count = before.count(b"HTTP/1.1")
        for parts in cuts(before + REFUSED[name] + SMUGGLED):
            answered = peer.send(*parts)
            assert answered.statuses == [200] * count + [400], parts
            assert answered.closed
            assert "/smuggled" not in answered.asked


def test_a_broken_body_behind_another_request_is_refused_in_its_place(peer):
    data = LIVE + chunked(chunks(size=b"0x2c")) + SMUGGLED
    for parts in cuts(data):
        answered = peer.send(*parts)
        assert answered.statuses == [200, 400], parts
        assert answered.closed
        assert "/smuggled" not in answered.asked


def test_a_broken_body_of_a_request_that_is_answered_gets_no_second_answer(peer):
    data = post(CHUNKED, chunks(BODY, size=b"0x1"), b"POST /none HTTP/1.1") + LIVE
    for parts in cuts(data):
        answered = peer.send(*parts)
        assert answered.statuses == [404], parts
        assert answered.closed
        assert answered.asked == ["/none"]


def test_a_request_behind_the_last_one_is_not_run(peer, app, monkeypatch):
    """An answer that is given at once leaves the parser in the middle of what was read."""
    asked = []
    batcher = next(iter(app.shortcuts.paths.values())).served.batcher
    enqueue = batcher.enqueue
    monkeypatch.setattr(batcher, "enqueue", lambda *a: asked.append(a) or enqueue(*a))
    last = post(b"Connection: close\r\nContent-Length: 1\r\n", b"[")
    answered = peer.send(last + post())
    assert answered.statuses == [400]
    assert not asked


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_upgrades_down_one_connection_at_once_are_each_declined(peer, upgrade):
    request = post(UPGRADES[upgrade] + LENGTH)
    assert peer.send(request * 500).statuses == [200] * 500


def test_what_comes_behind_a_body_is_no_header_of_the_request(peer):
    data = chunked(chunks(end=b"0\r\nX-Request-Id: smuggled\r\n\r\n"))
    for parts in cuts(data):
        assert b"x-request-id: smuggled" not in peer.send(*parts).written


def test_chunks_may_be_small_but_not_what_stands_between_them_large(peer):
    letters = b"".join(chunks(bytes([byte]), end=b"") for byte in ROWS)
    assert peer.send(chunked(letters + b"0\r\n\r\n")).statuses == [200]
    flood = (b"a" * 1000 for _ in range(1000))
    begun = chunked(b"2c;")
    answered = peer.send(begun, *flood)
    assert answered.statuses == [400]
    assert answered.closed


def test_a_body_that_nobody_wants_is_not_dropped_for_ever(peer, monkeypatch):
    monkeypatch.setattr(connection_module, "DROPPED_BYTES", 10_000)
    part = b"3e8\r\n%b\r\n" % (b"a" * 1000)
    head = post(CHUNKED, b"", b"POST /none HTTP/1.1")
    assert not peer.send(head, *[part] * 9, b"0\r\n\r\n").closed
    answered = peer.send(head, *[part] * 20)
    assert answered.statuses == [404]
    assert answered.closed


def test_an_expectation_of_http_1_0_is_not_heard(peer):
    head = SIZED.replace(b"%d" % len(BODY), b"%d" % len(ROWS)) + b"Expect: 100-continue\r\n"
    sent = post(head, b"", b"POST /predict HTTP/1.0"), ROWS
    assert b"100 Continue" not in peer.send(*sent).written
    assert b"100 Continue" in peer.send(post(head, b""), ROWS).written


def test_hosts_without_end_are_not_kept(peer, app):
    for i in range(1100):
        assert peer.send(post(host=b"Host: h%d\r\n" % i)).statuses == [200]
    assert 0 < len(app.shortcuts.hosts) <= 1000


def test_refusals_are_counted(peer, app):
    def count():
        name = 'lockstep_requests_total{route="unmatched",status="400"}'
        lines = ask(app, "GET", "/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(name))

    before = count()
    peer.send(REFUSED["no host"])
    assert count() == before + 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_is_still_sending_reads_why_it_was_refused(app, loop):
    """Closed at once, the system would reset the connection, and the answer be lost."""
    with (
        listening(app, loop) as port,
        closing(socket.create_connection(("127.0.0.1", port), 10)) as client,
    ):
        client.sendall(REFUSED["no host"])
        for _ in range(20):
            client.sendall(SMUGGLED + b"a" * 100_000)
        answer = b""
        while part := client.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert answer.count(b"HTTP/1.1 400 ") == 1
