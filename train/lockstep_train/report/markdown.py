"""Markdown: tables, and text of others in which nothing is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lockstep_train.report.tables import ReportTable, one_line

_MARKUP = re.compile(r"[\\`*\[\]<>|&#~!$]|(?<!\w)_|_(?!\w)")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = (f"| {' | '.join(cells)} |" for cells in (heads, *rows))
    return "\n".join((next(lines), f"|{'---|' * len(heads)}", *lines))


def report_table(table: ReportTable) -> str:
    """A table of plain text, in which nothing is markup."""
    rows = (
        [_cell(cell, code=place in table.code) for place, cell in enumerate(row)]
        for row in table.rows
    )
    return markdown_table([plain_text(head) for head in table.heads], rows)


def plain_text(text: str) -> str:
    """Text in which nothing is markup."""
    return _MARKUP.sub(r"\\\g<0>", one_line(text))


def code_span(text: str) -> str:
    """A code span, fenced by more backticks than the text has in a row."""
    plain = one_line(text)
    longest = max(map(len, re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest or not plain else ""
    return f"{fence}{blank}{plain}{blank}{fence}"


def _cell(text: str, *, code: bool) -> str:
    # A table's bars are found before code is, and a backslash before one has two readings there.
    return code_span(text) if code and text and "|" not in text else plain_text(text)
