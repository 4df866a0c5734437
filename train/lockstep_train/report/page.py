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
from lockstep_train.report import curves, plots, tables
from lockstep_train.report.confusion import Confusion
from lockstep_train.report.tables import ReportTable

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
    shown, more = tables.labels(manifest)
    source, parts = tables.source_and_parts(manifest)
    settings = (manifest.training or {}).get("configuration", {})
    return _TEMPLATES.get_template("page.html").render(
        manifest=manifest,
        what=f"{tables.what_it_does(manifest)} {tables.arithmetic(manifest)}",
        labels=shown,
        more_labels=more,
        source=source,
        parts=parts,
        notes=tables.notes(manifest),
        figures=tables.figures(manifest),
        seen=curves.describe(fit),
        curves=Markup(plots.curves_svg(fit)),  # noqa: S704 - drawn here, from numbers alone
        epochs=ReportTable(
            "The training curves in figures",
            curves.curve_columns(fit),
            tuple(curves.curve_rows(fit)),
        ),
        calibration=tables.calibration(manifest),
        columns=tables.columns(manifest, SHOWN_COLUMNS),
        more_columns=max(len(manifest.columns) - SHOWN_COLUMNS, 0),
        configuration=tables.configuration(settings),
        proved_on=tables.proved_on(certificate),
        proved=tables.proved(manifest, certificate),
        **(_regression if dataset.classes is None else _classification)(fit, dataset),
    )


def _regression(fit: Fit, dataset: Dataset) -> dict[str, Any]:
    predicted = predictions(fit.network, dataset.test)
    drawn = plots.residuals_svg(predicted, dataset.test.targets.astype(np.float64))
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
        "reliability": Markup(plots.reliability_svg(answered)),  # noqa: S704 - from numbers alone
        "reliabilities": _reliabilities(answered),
        "confusion": confusion,
        "confusion_map": None
        if confusion.tabulated
        else Markup(plots.confusion_svg(confusion.shares)),  # noqa: S704 - from numbers alone
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
