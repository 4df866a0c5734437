"""A head leaves with its body, and nothing is ever kept back for longer."""

import pytest

from lockstep_service.connection.transport import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Recording:
    """A transport that notes what is written at once."""

    def __init__(self):
        self.written = []
        self.closed = False

    def write(self, data):
        self.written.append(data)

    def writelines(self, parts):
        self.written.append(b"".join(parts))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


@pytest.fixture
def inner():
    return Recording()


@pytest.fixture
def transport(inner):
    return JoinedWrites(inner)


def test_head_and_body_are_written_together(inner, transport):
    transport.write(HEAD)
    assert inner.written == []
    transport.write(b"{}")
    assert inner.written == [HEAD + b"{}"]


def test_the_pieces_of_a_long_answer_are_not_kept_back(inner, transport):
    transport.write(HEAD)
    transport.write(b"2\r\n{}\r\n")
    transport.write(b"0\r\n\r\n")
    assert inner.written == [HEAD + b"2\r\n{}\r\n", b"0\r\n\r\n"]


def test_an_interim_answer_leaves_at_once(inner, transport):
    transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert inner.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_head_without_a_body_leaves_at_the_end(inner, transport, end):
    transport.write(HEAD)
    getattr(transport, end)()
    assert inner.written == [HEAD]
    assert transport.is_closing() is (end == "close")


def test_with_nothing_held_a_flush_writes_nothing(inner, transport):
    transport.flush()
    assert inner.written == []
