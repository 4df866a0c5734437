"""The report as one page of HTML: no asset from elsewhere, no script, for light, dark and paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lockstep.artifact.manifest import Manifest
from lockstep.proof.certificate import Certificate
from lockstep_train.data.dataset import Dataset
from lockstep_train.evaluate.evaluate import log_probabilities, predictions, temperature_of
from lockstep_train.evaluate.metrics import Reliability, reliability
from lockstep_train.fit.fit import Fit
from lockstep_train.report.confusion import Confusion
from lockstep_train.report.curves import curve_columns, curve_rows, describe_curves
from lockstep_train.report.plots import confusion_svg, curves_svg, reliability_svg, residuals_svg
from lockstep_train.report.tables import (
    ReportTable,
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

SHOWN_COLUMNS = 200

_TEMPLATES = Environment(
    loader=PackageLoader("lockstep_train.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(manifest: Manifest, certificate: Certificate, fit: Fit, dataset: Dataset) -> str:
    """The page; what the user's data says (names, labels, notes) is escaped.

    Args:
        manifest: with its final version.
        certificate: what was proved.
        fit: the network as it is exported, and its curves.
        dataset: its test split is answered for the plots.
    """
    shown, more = shown_labels(manifest)
    source, parts = source_and_split(manifest)
    settings = (manifest.training or {}).get("configuration", {})
    return _TEMPLATES.get_template("page.html").render(
        manifest=manifest,
        what=f"{purpose_sentence(manifest)} {precision_sentence(manifest)}",
        labels=shown,
        more_labels=more,
        source=source,
        parts=parts,
        notes=data_notes(manifest),
        figures=metrics_table(manifest),
        seen=describe_curves(fit),
        curves=Markup(curves_svg(fit)),  # noqa: S704 - drawn here, from numbers alone
        epochs=ReportTable(
            "The training curves in figures",
            curve_columns(fit),
            tuple(curve_rows(fit)),
        ),
        calibration=calibration_table(manifest),
        columns=columns_table(manifest, SHOWN_COLUMNS),
        more_columns=max(len(manifest.columns) - SHOWN_COLUMNS, 0),
        configuration=configuration_table(settings),
        proved_on=machine_sentence(certificate),
        proved=proof_table(manifest, certificate),
        **(_regression if dataset.classes is None else _classification)(fit, dataset),
    )


def _regression(fit: Fit, dataset: Dataset) -> dict[str, Any]:
    predicted = predictions(fit.network, dataset.test)
    drawn = residuals_svg(predicted, dataset.test.targets.astype(np.float64))
    return {"residuals": Markup(drawn)}  # noqa: S704 - drawn here, from numbers alone


def _classification(fit: Fit, dataset: Dataset) -> dict[str, Any]:
    test, network = dataset.test, fit.network
    probabilities = np.exp(log_probabilities(network, test))
    answered: dict[str, Reliability] = {}
    if (temperature := temperature_of(network).item()) != 1:
        plain = np.exp(log_probabilities(network, test, 1.0))
        answered["before calibration"] = reliability(plain, test.targets, test.weights)
    name = "as answered" if temperature == 1 else "after calibration"
    answered[name] = reliability(probabilities, test.targets, test.weights)
    confusion = Confusion.of(dataset.classes or (), test.targets, probabilities.argmax(axis=1))
    classes, more = confusion.of_classes()
    return {
        "reliability": Markup(reliability_svg(answered)),  # noqa: S704 - from numbers alone
        "reliabilities": _reliabilities(answered),
        "confusion": confusion,
        "confusion_map": None if confusion.tabulated else Markup(confusion_svg(confusion.shares)),  # noqa: S704 - from numbers alone
        "confusions": confusion.most_frequent(),
        "classes": classes,
        "more_classes": more,
    }


def _reliabilities(answered: dict[str, Reliability]) -> ReportTable:
    rows = tuple(
        (name, f"{curve.confidence[i]:.3f}", f"{curve.accuracy[i]:.3f}", f"{100 * share:.1f} %")
        for name, curve in answered.items()
        for i, share in enumerate(curve.share)
        if share
    )
    heads = ("answers", "mean probability", "share of right answers", "share of the rows")
    return ReportTable("The reliability plot in figures", heads, rows)
