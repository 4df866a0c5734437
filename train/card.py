"""The model card: what an artifact is, for people (Mitchell et al., "Model Cards", 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lockstep.artifact.columns import Column
from lockstep.artifact.manifest import Manifest
from lockstep.proof.certificate import Certificate
from lockstep.proof.claims import claims
from train.fit import Fit
from train.report import describe

SHOWN_COLUMNS = 40


def write_card(manifest: Manifest, certificate: Certificate, fit: Fit, curves: str) -> str:
    """The card as Markdown; the same arguments give the same text.

    Args:
        manifest: with its final version.
        certificate: what was proved.
        fit: how the network came to be.
        curves: path of the drawn curves, beside the card.
    """
    sections = (
        _what(manifest),
        _data(manifest),
        _figures(manifest),
        _training(fit, curves),
        _proved(certificate),
        _use(manifest),
    )
    return "\n".join(line for section in sections for line in (*section, ""))


def _what(manifest: Manifest) -> Iterator[str]:
    columns = len(manifest.columns)
    if manifest.classes is None:
        does = f"Predicts the number `{manifest.target}` from {columns} columns."
    else:
        labels = ", ".join(map(str, manifest.classes))
        does = (
            f"Answers with the probability of each of {len(manifest.classes)} classes of "
            f"`{manifest.target}` ({labels}), from {columns} columns."
        )
    yield f"# {manifest.name}, version {manifest.version}"
    yield ""
    yield f"{does} The columns are in their own units: the scaling is part of the model file."


def _data(manifest: Manifest) -> Iterator[str]:
    training = manifest.training or {}
    rows: Mapping[str, int] = training.get("rows", {})
    parts = ", ".join(f"{count} rows to {_PURPOSES[part]}" for part, count in rows.items())
    yield "## Data"
    yield ""
    yield f"`{training.get('source')}`: {parts}."
    yield ""
    yield from _table(
        ("column", "least", "mean", "most", "deviation", "missing"),
        map(_column, manifest.columns[:SHOWN_COLUMNS]),
    )
    if len(manifest.columns) > SHOWN_COLUMNS:
        yield ""
        yield f"And {len(manifest.columns) - SHOWN_COLUMNS} more, all of them in `manifest.json`."


_PURPOSES = {"train": "learn from", "validation": "stop by", "test": "test once"}


def _column(column: Column) -> tuple[str, ...]:
    seen = column.statistics
    figures = (
        ("", "", "", "")
        if seen is None
        else tuple(f"{value:.4g}" for value in (seen.minimum, seen.mean, seen.maximum, seen.std))
    )
    return (_code(column.name), *figures, "allowed" if column.missing_allowed else "refused")


def _figures(manifest: Manifest) -> Iterator[str]:
    yield "## Figures on the held-out test split"
    yield ""
    rows = ((name, f"{value:.4g}") for name, value in manifest.metrics.items())
    yield from _table(("figure", "value"), rows)


def _training(fit: Fit, curves: str) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield describe(fit)
    yield ""
    yield f"![training and validation curves]({curves})"
    yield ""
    settings = fit.configuration.model_dump(mode="json")
    yield from _table(
        ("setting", "value"),
        (
            (f"{section}.{name}", _value(value))
            for section, values in settings.items()
            for name, value in values.items()
        ),
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _proved(certificate: Certificate) -> Iterator[str]:
    machine = certificate.machine
    yield "## Proved"
    yield ""
    yield (
        f"On {machine.processor} ({machine.architecture}), {machine.threads} thread(s), with "
        f"{', '.join(f'{name} {version}' for name, version in machine.versions.items())}; "
        "`lockstep verify` proves it again where it is run."
    )
    yield ""
    yield from _table(
        ("what", "of", "measured", "verdict"),
        ((row.claim, _code(row.subject), row.measured, row.verdict) for row in claims(certificate)),
    )


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


def _code(text: str) -> str:
    return f"`{text}`"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"
