"""The model card: what an artifact is, for people (Mitchell et al., "Model Cards", 2019)."""

from __future__ import annotations

from collections.abc import Iterator

from lockstep.artifact.manifest import Manifest
from lockstep.proof.certificate import Certificate
from lockstep_train.fit.fit import Fit
from lockstep_train.report.curves import describe_curves
from lockstep_train.report.markdown import code_span, plain_text, report_table
from lockstep_train.report.tables import (
    calibration_table,
    columns_table,
    configuration_table,
    data_notes,
    machine_sentence,
    metrics_table,
    precision_sentence,
    proof_table,
    purpose_sentence,
    shown_labels,
    source_and_split,
)

SHOWN_COLUMNS = 40


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
        _metrics(manifest),
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
        f"{plain_text(purpose_sentence(manifest))} The columns are in their own units: the scaling "
        f"is part of the model file. {plain_text(precision_sentence(manifest))}"
    )
    shown, more = shown_labels(manifest)
    if shown:
        yield ""
        others = f" and {more} more, all of them in `manifest.json`" if more else ""
        yield f"The classes: {', '.join(map(code_span, shown))}{others}."


def _data(manifest: Manifest) -> Iterator[str]:
    source, parts = source_and_split(manifest)
    yield "## Data"
    yield ""
    yield f"{code_span(source)}: {parts}."
    yield ""
    if notes := data_notes(manifest):
        yield from (f"- {plain_text(note)}" for note in notes)
        yield ""
    yield report_table(columns_table(manifest, SHOWN_COLUMNS))
    if len(manifest.columns) > SHOWN_COLUMNS:
        yield ""
        yield f"And {len(manifest.columns) - SHOWN_COLUMNS} more, all of them in `manifest.json`."


def _metrics(manifest: Manifest) -> Iterator[str]:
    table = metrics_table(manifest)
    yield f"## {table.caption}"
    yield ""
    yield report_table(table)


def _calibration(manifest: Manifest) -> Iterator[str]:
    if (found := calibration_table(manifest)) is not None:
        note, table = found
        yield "## Calibration"
        yield ""
        yield plain_text(note)
        yield ""
        yield report_table(table)


def _training(manifest: Manifest, fit: Fit, picture: str) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield describe_curves(fit)
    yield ""
    yield f"![training and validation curves]({picture})"
    yield ""
    yield report_table(configuration_table((manifest.training or {}).get("configuration", {})))


def _proved(manifest: Manifest, certificate: Certificate) -> Iterator[str]:
    yield "## Proved"
    yield ""
    yield plain_text(machine_sentence(certificate))
    yield ""
    yield report_table(proof_table(manifest, certificate))


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
