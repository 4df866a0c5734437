"""One table turns every error into an answer, and no internals leave with it."""

import inspect

import pytest
from starlette.exceptions import HTTPException

import lockstep.errors
from lockstep.errors import EngineFailure, InvalidInstances, InvalidValue, LockstepError
from lockstep_service import errors as service_errors
from lockstep_service.errors import CannotStart, QueueFull, ServiceError
from lockstep_service.http.problems import INTERNAL, LONGEST_SENTENCE, TABLE, problem_of

EXAMPLES = {
    QueueFull: QueueFull("Full.", 7),
    InvalidInstances: InvalidInstances([InvalidValue(0, "age", "expected a number")]),
}


def concrete(module):
    """The errors of a module that nothing else derives from."""
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass)]
    errors = [kind for kind in kinds if issubclass(kind, LockstepError)]
    return [kind for kind in errors if not any(other.__base__ is kind for other in errors)]


def example(kind):
    return EXAMPLES.get(kind) or kind("A sentence.")


@pytest.mark.parametrize("kind", concrete(service_errors), ids=lambda kind: kind.__name__)
def test_every_error_of_serving_is_in_the_table(kind):
    if kind is CannotStart:
        assert kind not in TABLE  # it ends the process before anybody can ask
    else:
        assert kind in TABLE


def test_the_table_is_ordered_from_the_particular_to_the_general():
    kinds = list(TABLE)
    for i, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[i + 1 :])


def test_statuses_and_codes_are_those_of_the_design():
    assert {kind.__name__: row for kind, row in TABLE.items()} == {
        "InvalidInstances": (400, "invalid_instances"),
        "BadRequest": (400, "bad_request"),
        "UnknownModel": (404, "unknown_model"),
        "BodyTooLarge": (413, "body_too_large"),
        "UnsupportedMediaType": (415, "unsupported_media_type"),
        "QueueFull": (503, "queue_full"),
        "NotServing": (503, "not_serving"),
        "DeadlineExceeded": (504, "deadline_exceeded"),
        "EngineFailure": (500, "engine_failure"),
    }


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_an_error_is_answered_with_its_sentence_unless_it_is_internal(kind):
    problem = problem_of(example(kind))
    assert (problem.status, problem.code) == TABLE[kind]
    assert problem.sentence == (INTERNAL if kind is EngineFailure else str(example(kind)))


@pytest.mark.parametrize(
    "error",
    [
        *(kind("secret") for kind in concrete(lockstep.errors) if kind not in TABLE),
        ServiceError("secret"),
        ValueError("secret"),
        KeyError("secret"),
        MemoryError(),
        RecursionError("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_is_500_and_says_nothing(error):
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.sentence) == (500, "internal", INTERNAL)


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_503_says_when_to_try_again_and_413_hangs_up(kind):
    problem = problem_of(example(kind))
    expected = {503: [(b"retry-after", b"1")], 413: [(b"connection", b"close")]}
    if kind is QueueFull:
        expected[503] = [(b"retry-after", b"7")]
    assert list(problem.headers) == expected.get(problem.status, [])


def test_what_the_router_refuses_has_the_same_shape():
    assert problem_of(HTTPException(404)).code == "unknown_path"
    wrong = problem_of(HTTPException(405, headers={"Allow": "POST"}))
    assert (wrong.status, list(wrong.headers)) == (405, [(b"allow", b"POST")])
    assert "use POST" in wrong.sentence
    assert problem_of(HTTPException(418, detail="Short and stout")).sentence == "Short and stout."


def test_a_sentence_that_quotes_too_much_is_cut():
    sentence = problem_of(service_errors.BadRequest("x" * 10_000)).sentence
    assert len(sentence) == LONGEST_SENTENCE
    assert sentence.endswith("…")
