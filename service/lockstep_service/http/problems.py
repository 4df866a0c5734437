"""Problems: the one table that turns errors into HTTP answers."""

from __future__ import annotations

from typing import NamedTuple

import orjson
from starlette.exceptions import HTTPException

from lockstep.errors import EngineFailure, InvalidInstances, LockstepError
from lockstep_service.errors import (
    BadRequest,
    BodyTooLarge,
    DeadlineExceeded,
    NotServing,
    QueueFull,
    UnknownModel,
    UnsupportedMediaType,
)
from lockstep_service.http.responses import Answer, HeaderLines
from lockstep_service.view.log import log

RETRY_AFTER_S = 1
LONGEST_SENTENCE = 1000  # characters; a sentence may quote the request


class Problem(NamedTuple):
    """The content of an answer to an error.

    Attributes:
        status: of HTTP.
        code: for programs, such as ``bad_request``.
        sentence: for people: what was expected, what came, what to do.
        headers: of the answer.
    """

    status: int
    code: str
    sentence: str
    headers: HeaderLines = ()


# The first match counts, so a subclass comes before its base. A test checks the table against both
# trees of errors.
TABLE: dict[type[LockstepError], tuple[int, str]] = {
    InvalidInstances: (400, "invalid_instances"),
    BadRequest: (400, "bad_request"),
    UnknownModel: (404, "unknown_model"),
    BodyTooLarge: (413, "body_too_large"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    QueueFull: (503, "queue_full"),
    NotServing: (503, "not_serving"),
    DeadlineExceeded: (504, "deadline_exceeded"),
    EngineFailure: (500, "engine_failure"),
}
INTERNAL = "The service failed to answer; the request id finds the reason in its log."


def problem_of(error: Exception) -> Problem:
    """The problem of an error. One of status 500 shows no internals."""
    if isinstance(error, HTTPException):
        return _http_problem(error)
    for kind, (status, code) in TABLE.items():
        if isinstance(error, kind):
            sentence = INTERNAL if status == 500 else _cut(str(error))
            return Problem(status, code, sentence, _headers(error, status))
    return Problem(500, "internal", INTERNAL)


def _cut(sentence: str) -> str:
    if len(sentence) <= LONGEST_SENTENCE:
        return sentence
    return f"{sentence[: LONGEST_SENTENCE - 1]}…"


def _headers(error: Exception, status: int) -> HeaderLines:
    if status == 413:
        return ((b"connection", b"close"),)  # because the rest of the body is not read
    if status != 503:
        return ()
    seconds = error.retry_after_s if isinstance(error, QueueFull) else RETRY_AFTER_S
    return ((b"retry-after", str(seconds).encode()),)


def _http_problem(error: HTTPException) -> Problem:
    """The problem of an error that the router raises."""
    headers = tuple((k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items())
    if error.status_code == 404:
        return Problem(404, "unknown_path", "There is nothing at this path; see /docs.", headers)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        sentence = f"This path does not take that method; use {allowed}."
        return Problem(405, "wrong_method", sentence, headers)
    return Problem(error.status_code, "http", f"{error.detail}.", headers)


def problem_body(problem: Problem, request_id: str) -> bytes:
    """The JSON body of the answer to an error."""
    return orjson.dumps({"error": problem.sentence, "code": problem.code, "request_id": request_id})


def refusal(error: Exception, request_id: bytes) -> Answer:
    """The answer to an error, complete with body and headers; logged if its status is 500."""
    problem = report(error, request_id)
    body = problem_body(problem, request_id.decode())
    return Answer(body, headers=problem.headers, status=problem.status)


def report(error: Exception, request_id: bytes) -> Problem:
    """The problem of an error. One of status 500 is logged, because its answer refers to the log.

    Args:
        error: any exception.
        request_id: of the request that failed.
    """
    problem = problem_of(error)
    if problem.status == 500:
        log.error("request failed", request_id=request_id.decode(), exc_info=error)
    return problem
