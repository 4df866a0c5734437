"""What the core says of errors that libraries raise."""

import pytest

from lockstep.errors import first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n\n  one \ntwo"), "one "),
        (ValueError(), "ValueError"),
        (KeyError("a"), "'a'"),
    ],
)
def test_a_library_is_quoted_by_its_first_line(error, said):
    assert first_line(error) == said
