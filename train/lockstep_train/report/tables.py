"""What the card and the page tell alike: sentences and tables, as plain text.

Names, labels, notes and settings come from the user's data: whoever writes them into a file
escapes them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lockstep.artifact.columns import Column
from lockstep.artifact.manifest import Manifest
from lockstep.proof.certificate import Certificate
from lockstep.proof.claims import claims
from lockstep_train.export.parity import RowsParity

SHOWN_LABELS = 20
SHOWN_CATEGORIES = 3
SHOWN_LETTERS = 40

PURPOSES = {"train": "learn from", "validation": "stop by", "test": "test once"}

MEANINGS = {
    "rows": "how many were measured",
    "accuracy": "share of the rows whose most probable class is the right one",
    "balanced_accuracy": "the same for each class, averaged with equal weight",
    "log_loss": "mean negative log probability of the right class, in nats; less is better",
    "macro_f1": "F1 of each class, averaged with equal weight",
    "brier": "mean squared distance of the probabilities from the truth; less is better",
    "ece": "expected calibration error in 15 bins of equal width; less is better",
    "rmse": "root of the mean squared error, in the unit of {target}; less is better",
    "mae": "mean absolute error, in the unit of {target}; less is better",
    "r2": "share of the variance of {target} that is explained",
}

_WRITTEN = {
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "brier": "Brier",
    "ece": "ECE",
    "r2": "R²",
}


@dataclass(frozen=True)
class ReportTable:
    """A table of plain text.

    Attributes:
        caption: what it shows.
        heads: of its columns.
        rows: a cell for each head.
        code: the columns whose cells are names that others gave.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    code: frozenset[int] = frozenset()


def one_line(text: object, letters: int | None = None) -> str:
    """Text as one line without control characters, cut where it is longer than allowed."""
    words = "".join(c if c.isprintable() else " " for c in str(text)).split()
    whole = " ".join(words)
    return whole if letters is None or len(whole) <= letters else f"{whole[: letters - 1]}…"


def purpose_sentence(manifest: Manifest) -> str:
    """What the network answers, and from what; without the labels."""
    columns = f"from {len(manifest.columns)} columns"
    if manifest.classes is None:
        return f"Predicts the number {one_line(manifest.target)} {columns}."
    return (
        f"Answers with the probability of each of {len(manifest.classes)} classes of "
        f"{one_line(manifest.target)}, {columns}."
    )


def precision_sentence(manifest: Manifest) -> str:
    """The precision, and why it is not the exact one where that was refused."""
    if manifest.precision == "exact":
        return "Computes in exact precision: the same bits on every processor."
    why = (manifest.training or {}).get("inexact")
    return f"Computes in float32. {one_line(why)}" if why else "Computes in float32."


def shown_labels(manifest: Manifest) -> tuple[tuple[str, ...], int]:
    """The first class labels, and how many more there are."""
    every = manifest.classes or ()
    shown = tuple(one_line(label, SHOWN_LETTERS) for label in every[:SHOWN_LABELS])
    return shown, len(every) - len(shown)


def source_and_split(manifest: Manifest) -> tuple[str, str]:
    """The source's name, and how many of its rows went where."""
    facts = manifest.training or {}
    rows: Mapping[str, int] = facts.get("rows", {})
    parts = (f"{count} rows to {PURPOSES.get(part, part)}" for part, count in rows.items())
    return one_line(facts.get("source")), ", ".join(parts)


def data_notes(manifest: Manifest) -> tuple[str, ...]:
    """What a person should know about the data, in sentences."""
    return tuple(map(one_line, (manifest.training or {}).get("notes", ())))


def metrics_table(manifest: Manifest) -> ReportTable:
    """The figures of the network beside those of the answer that looks at no column."""
    beside: Mapping[str, float] = (manifest.training or {}).get("baseline", {})
    trivial = "mean" if manifest.classes is None else "class shares"
    return ReportTable(
        "Figures on the held-out test split",
        ("figure", "this network", f"the training split's {trivial}", "what it is"),
        tuple(
            (
                _named(name),
                f"{value:.4g}" if name != "rows" else f"{value:.0f}",
                f"{beside[name]:.4g}" if name in beside and name != "rows" else "",
                _meaning(name, manifest),
            )
            for name, value in manifest.metrics.items()
        ),
    )


def _named(figure: str) -> str:
    return _WRITTEN.get(figure, figure.replace("_", " "))


def _meaning(name: str, manifest: Manifest) -> str:
    if name == "roc_auc":
        classes = manifest.classes or ()
        if len(classes) == 2:
            return f"area under the ROC curve of the class {one_line(classes[1], SHOWN_LETTERS)}"
        return "area under the ROC curve of each class against the rest, averaged"
    return MEANINGS.get(name, "").replace("{target}", one_line(manifest.target))


def calibration_table(manifest: Manifest) -> tuple[str, ReportTable] | None:
    """What came of calibrating, and the figures before and after; None where nobody tried."""
    facts = (manifest.training or {}).get("calibration")
    if not facts:
        return None
    temperatures = {"before": 1.0, "after": facts["temperature"]}
    if temperatures["after"] == 1:
        del temperatures["after"]
    measures = ("ece", "brier", "log_loss")
    rows = tuple(
        (
            f"{split} split",
            f"{temperature:.4g}",
            *(f"{facts[split][when][measure]:.4f}" for measure in measures),
        )
        for split in ("validation", "test")
        for when, temperature in temperatures.items()
    )
    heads = ("measured on", "temperature", *map(_named, measures))
    return one_line(facts["note"]), ReportTable("Calibration", heads, rows)


def columns_table(manifest: Manifest, most: int) -> ReportTable:
    """The first columns: kind, and what the training split held."""
    return ReportTable(
        "Columns, as the training split held them",
        ("column", "kind", "values", "missing", "never seen"),
        tuple(map(_column, manifest.columns[:most])),
        code=frozenset({0}),
    )


def _column(column: Column) -> tuple[str, ...]:
    unit = f" ({one_line(column.unit, SHOWN_LETTERS)})" if column.unit else ""
    missing = "allowed" if column.missing_allowed else "refused"
    unknown = ""
    if column.kind == "categorical":
        unknown = "has a code" if column.unknown_allowed else "refused"
    return (one_line(column.name), f"{column.kind}{unit}", _values(column), missing, unknown)


def _values(column: Column) -> str:
    if column.kind == "numeric":
        seen = column.statistics
        if seen is None:
            return "none"
        return (
            f"{seen.minimum:.4g} to {seen.maximum:.4g}, mean {seen.mean:.4g}, "
            f"deviation {seen.std:.4g}"
        )
    shares = sorted((column.frequencies or {}).items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(
        f"{one_line(word, SHOWN_LETTERS)} {100 * share:.1f} %"
        for word, share in shares[:SHOWN_CATEGORIES]
    )
    if column.kind == "boolean":
        return shown
    count = len(column.vocabulary or ())
    more = ", …" if count > SHOWN_CATEGORIES else ""
    categories = f"{count} {'category' if count == 1 else 'categories'}"
    return f"{categories}: {shown}{more}" if shown else categories


def configuration_table(settings: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    """Every setting of a training.

    Args:
        settings: by section and name, as JSON has them.
    """
    return ReportTable(
        "Configuration",
        ("setting", "value"),
        tuple(
            (f"{one_line(section)}.{one_line(name)}", _value(value))
            for section, values in settings.items()
            for name, value in values.items()
        ),
        code=frozenset({0}),
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(f'"{one_line(item)}"' if item == "" else one_line(item) for item in value)
    return "" if value is None else one_line(value)


def machine_sentence(certificate: Certificate) -> str:
    """Where it was proved, and how to prove it again."""
    machine = certificate.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"On {machine.processor} ({machine.architecture}), {machine.threads} thread(s), with "
        f"{libraries}; lockstep verify proves it again where it is run."
    )


def proof_table(manifest: Manifest, certificate: Certificate) -> ReportTable:
    """Every claim of the certificate, and the parity that was measured beyond the golden rows."""
    stated = [(row.claim, row.subject, row.measured, row.verdict) for row in claims(certificate)]
    beyond = (manifest.training or {}).get("parity", ())
    for group in map(RowsParity.model_validate, beyond):
        stated.extend(
            (
                f"parity on {group.of}",
                f"{pair.left} = {pair.right}",
                f"{pair.rows} rows, max abs {pair.max_abs:.2g}, bound {pair.bound:.2g}",
                "holds" if pair.holds else "does not hold",
            )
            for pair in group.parity
        )
    return ReportTable(
        "Proved", ("what", "of", "measured", "verdict"), tuple(stated), frozenset({1})
    )
