"""The model card: what an artifact is, for people (Mitchell et al., "Model Cards", 2019)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lockstep.artifact.manifest import Manifest
from lockstep.proof.certificate import Certificate
from lockstep_train.fit.fit import Fit
from lockstep_train.report import curves, tables
from lockstep_train.report.tables import ReportTable, line

SHOWN_COLUMNS = 40

_MARKUP = re.compile(r"[\\`*\[\]<>|&#~!$]|(?<!\w)_|_(?!\w)")


def write_card(manifest: Manifest, certificate: Certificate, fit: Fit, picture: str) -> str:
    """The card as Markdown; the same arguments give the same text.

    What the user's data says (names, labels, notes) is shown as it is and never read as markup.

    Args:
        manifest: with its final version.
        certificate: what was proved.
        fit: how the network came to be.
        picture: path of the drawn curves, beside the card.
    """
    sections = (
        _what(manifest),
        _data(manifest),
        _figures(manifest),
        _calibration(manifest),
        _training(manifest, fit, picture),
        _proved(manifest, certificate),
        _use(manifest),
    )
    return "\n".join(text for section in sections for text in (*section, ""))


def _what(manifest: Manifest) -> Iterator[str]:
    yield f"# {manifest.name}, version {manifest.version}"
    yield ""
    yield (
        f"{_text(tables.what_it_does(manifest))} The columns are in their own units: the scaling "
        f"is part of the model file. {_text(tables.arithmetic(manifest))}"
    )
    shown, more = tables.labels(manifest)
    if shown:
        yield ""
        others = f" and {more} more, all of them in `manifest.json`" if more else ""
        yield f"The classes: {', '.join(map(_code, shown))}{others}."


def _data(manifest: Manifest) -> Iterator[str]:
    source, parts = tables.source_and_parts(manifest)
    yield "## Data"
    yield ""
    yield f"{_code(source)}: {parts}."
    yield ""
    if notes := tables.notes(manifest):
        yield from (f"- {_text(note)}" for note in notes)
        yield ""
    yield from _table(tables.columns(manifest, SHOWN_COLUMNS))
    if len(manifest.columns) > SHOWN_COLUMNS:
        yield ""
        yield f"And {len(manifest.columns) - SHOWN_COLUMNS} more, all of them in `manifest.json`."


def _figures(manifest: Manifest) -> Iterator[str]:
    table = tables.figures(manifest)
    yield f"## {table.caption}"
    yield ""
    yield from _table(table)


def _calibration(manifest: Manifest) -> Iterator[str]:
    if (found := tables.calibration(manifest)) is not None:
        note, table = found
        yield "## Calibration"
        yield ""
        yield _text(note)
        yield ""
        yield from _table(table)


def _training(manifest: Manifest, fit: Fit, picture: str) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield curves.describe(fit)
    yield ""
    yield f"![training and validation curves]({picture})"
    yield ""
    yield from _table(tables.configuration((manifest.training or {}).get("configuration", {})))


def _proved(manifest: Manifest, certificate: Certificate) -> Iterator[str]:
    yield "## Proved"
    yield ""
    yield _text(tables.proved_on(certificate))
    yield ""
    yield from _table(tables.proved(manifest, certificate))


def _use(manifest: Manifest) -> Iterator[str]:
    folder = f"models/{manifest.name}/{manifest.version}"
    answer = "prediction" if manifest.classes is None else "label, probability_…"
    yield "## Use"
    yield ""
    yield "```"
    yield f"lockstep verify {folder}"
    yield f"lockstep predict {folder} table.csv -o answers.csv   # {answer}"
    yield "lockstep serve"
    yield "```"


def _text(text: str) -> str:
    """Text in which nothing is markup."""
    return _MARKUP.sub(r"\\\g<0>", line(text))


def _code(text: str) -> str:
    """A code span, fenced by more backticks than the text has in a row."""
    plain = line(text)
    longest = max(map(len, re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest or not plain else ""
    return f"{fence}{blank}{plain}{blank}{fence}"


def _table(table: ReportTable) -> Iterator[str]:
    yield f"| {' | '.join(map(_text, table.heads))} |"
    yield f"|{'---|' * len(table.heads)}"
    for row in table.rows:
        cells = (_cell(cell, code=place in table.code) for place, cell in enumerate(row))
        yield f"| {' | '.join(cells)} |"


def _cell(text: str, *, code: bool) -> str:
    # A table's bars are found before code is, and a backslash before one has two readings there.
    return _code(text) if code and text and "|" not in text else _text(text)
