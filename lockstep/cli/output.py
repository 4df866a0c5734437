"""Output of commands: answers on stdout, errors and notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lockstep.errors import LockstepError, printable


def complain(sentence: str, code: int) -> int:
    """Write an error to stderr, and return its exit code.

    Args:
        sentence: what was expected, what came, what to do.
        code: the exit code, which is returned.
    """
    print(f"lockstep: {printable(sentence)}", file=sys.stderr)
    return code


def note(sentence: str) -> None:
    """Write a note to stderr that is not an error."""
    print(f"lockstep: note: {sentence}", file=sys.stderr)


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


def as_document(error: LockstepError) -> dict[str, str]:
    """An error as part of a JSON document."""
    return {"error": str(error), "kind": type(error).__name__}


@contextmanager
def errors_as_json(wanted: bool) -> Iterator[None]:
    """Write an error to stdout as JSON if that is wanted, and raise it again.

    Raises:
        LockstepError: the error, which `main` writes to stderr as a sentence.
    """
    try:
        yield
    except LockstepError as error:
        if wanted:
            print_json(as_document(error))
        raise
