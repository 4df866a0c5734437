"""What commands write: answers to stdout, complaints and notes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lockstep.errors import LockstepError, printable


def complain(sentence: str, code: int) -> int:
    """Say what is wrong.

    Returns:
        The exit code that goes with it.
    """
    print(f"lockstep: {printable(sentence)}", file=sys.stderr)
    return code


def note(sentence: str) -> None:
    """Say what a person should know, though nothing is wrong."""
    print(f"lockstep: note: {sentence}", file=sys.stderr)


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


def as_document(error: LockstepError) -> dict[str, str]:
    """An error as a part of a JSON document."""
    return {"error": str(error), "kind": type(error).__name__}


@contextmanager
def errors_as_json(wanted: bool) -> Iterator[None]:
    """Where JSON is wanted, write what fails as a document too; stderr has the sentence."""
    try:
        yield
    except LockstepError as error:
        if wanted:
            print_json(as_document(error))
        raise
