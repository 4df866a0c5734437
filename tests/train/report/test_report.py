import dataclasses
import re
import struct
from html.parser import HTMLParser

import numpy as np
import pytest

from lockstep.artifact.folder import open_artifact
from lockstep.proof.certificate import Certificate
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.data.sources.built_in import built_in
from lockstep_train.evaluate.metrics import reliability
from lockstep_train.export.export import PAGE
from lockstep_train.fit.curves import Epoch
from lockstep_train.fit.fit import fit
from lockstep_train.report.confusion import MOST_TABULATED, Confusion
from lockstep_train.report.curves import curve_columns, curve_rows, describe_curves
from lockstep_train.report.page import write_page
from lockstep_train.report.plots import (
    confusion_svg,
    curves_svg,
    draw_curves,
    reliability_svg,
    residuals_svg,
)
from lockstep_train.report.tables import one_line

pytestmark = pytest.mark.slow

EMPTY = {"meta", "link", "br", "img", "input", "hr"}


@pytest.fixture(scope="module", params=["wine", "diabetes"])
def fitted(request):
    training = TrainingConfiguration(epochs=3, learning_rate=0.01)
    return fit(Configuration(training=training), built_in(request.param, 0))


def with_history(fitted, epochs, **changes):
    """The fit as it would be with other curves: training falls, validation turns at epoch 4."""
    history = tuple(
        Epoch(number, 1e-3, 1 / number, 0.5 + abs(number - 4) / 10, 0.9, 0.8, 0.1)
        for number in range(1, epochs + 1)
    )
    return dataclasses.replace(fitted, history=history, **{"best_epoch": 4, **changes})


class Page(HTMLParser):
    """A page as a browser sees it: elements, text, and tags that are closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(text)
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module", params=["wine", "diabetes", "untrusted"])
def page(request):
    found = request.getfixturevalue(request.param)
    artifact = found.artifact if request.param == "untrusted" else open_artifact(found.path)
    return Page(artifact.read(PAGE).decode())


@pytest.mark.parametrize("parting", [None, 4])
@pytest.mark.parametrize("epochs", [5, 60])
def test_the_curves_are_drawn_as_a_png_of_readable_size(fitted, parting, epochs):
    content = draw_curves(with_history(fitted, epochs, parting_epoch=parting))
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width >= 1000
    assert height >= 400


@pytest.mark.parametrize("draw", [draw_curves, curves_svg])
def test_the_same_fit_is_drawn_as_the_same_bytes(fitted, draw):
    assert draw(fitted) == draw(fitted)


@pytest.mark.parametrize("draw", [draw_curves, curves_svg])
def test_a_single_epoch_and_losses_of_zero_can_be_drawn(fitted, draw):
    none_left = Epoch(1, 1e-3, 0.0, 0.0, 1.0, 1.0, 0.1)
    done = dataclasses.replace(fitted, history=(none_left,), best_epoch=1, parting_epoch=None)
    assert draw(done)


def test_the_description_states_where_the_curves_part_and_the_gap(fitted):
    said = describe_curves(with_history(fitted, 9, parting_epoch=4))
    assert "The curves part at epoch 4" in said
    assert "training loss still fell from 0.2500 to 0.1111" in said
    assert "What is learned after that epoch is over-fitting." in said
    assert "The best epoch is 4 of 9" in said
    assert "training loss 0.2500, validation loss 0.5000 (gap 0.2500)" in said
    assert f"validation {fitted.score_name} 0.8" in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parting_epoch": None}, "The curves do not part"),
        ({"stopped_early": True}, "stopped early, 25 epochs after the best one"),
        ({"interrupted": True}, "was interrupted"),
        ({}, "ran to its end"),
    ],
)
def test_the_description_states_how_the_training_ended(fitted, changes, sentence):
    assert sentence in describe_curves(with_history(fitted, 9, **changes))


@pytest.mark.parametrize("epochs", [4, 5, 12, 13, 60, 400])
@pytest.mark.parametrize("most", [4, 7, 12])
def test_the_rows_hold_first_last_best_and_parting_epoch_and_are_not_too_many(fitted, epochs, most):
    done = with_history(fitted, epochs, parting_epoch=3)
    rows = curve_rows(done, most)
    numbers = [int(row[0]) for row in rows]
    assert {1, 3, 4, epochs} <= set(numbers)
    assert numbers == sorted(set(numbers))
    assert len(rows) <= most
    assert len(rows) >= min(most, epochs) - 3
    assert {len(row) for row in rows} == {len(curve_columns(done))}


def test_the_rows_mark_the_best_and_the_parting_epoch(fitted):
    apart = {row[0]: row[-1] for row in curve_rows(with_history(fitted, 9, parting_epoch=3))}
    assert (apart["3"], apart["4"], apart["5"]) == ("curves part", "best", "")
    together = {row[0]: row[-1] for row in curve_rows(with_history(fitted, 9, parting_epoch=4))}
    assert together["4"] == "best, curves part"


def test_the_columns_name_the_score(fitted):
    assert f"validation {fitted.score_name}" in curve_columns(fitted)


def test_the_page_asks_for_nothing_from_elsewhere_and_runs_nothing(page):
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("iframe")
    policy = next(meta for meta in page.all("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy["content"]
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))


def test_the_page_can_be_read_by_headings_captions_and_alternatives(page):
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert len(page.all("table")) == len(page.all("caption")) >= 4
    assert all(head["scope"] in {"col", "row"} for head in page.all("th"))
    assert len(page.all("svg")) == len(page.all("figure")) >= 2
    drawn = [each for each in page.all("div") if each.get("role") == "img"]
    assert len(drawn) == len(page.all("figure"))
    assert all(len(each["aria-label"]) > 40 for each in drawn)
    scrolled = [each for each in page.all("div") if each.get("class") == "scroll"]
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in scrolled)


def test_the_page_names_nothing_twice_and_every_reference_leads_somewhere(page):
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for link in page.all("a"):
        assert link["href"][1:] in names
    for section in page.all("section"):
        assert section["aria-labelledby"] in names


def test_the_page_tells_what_the_card_tells_and_more(page):
    for wanted in ("The best epoch is", "Over-fitting", "Columns", "Configuration", "holds"):
        assert wanted in page.text
    assert "parity on every row of the test split" in page.text


def test_what_the_data_says_is_shown_as_text(untrusted):
    page = Page(untrusted.artifact.read(PAGE).decode())
    for word in ("source", "label", "target", "note", "column", "category"):
        assert f"<script>alert('{word}')</script>" in page.text
    assert '" onmouseover="alert(1)' in page.text
    assert not page.all("b")
    assert "before calibration" in page.text or untrusted.calibration.temperature == 1


def test_the_same_arguments_give_the_same_page(untrusted):
    artifact = untrusted.artifact
    certificate = Certificate.from_bytes(artifact.read("certificate.json"))
    again = write_page(artifact.manifest, certificate, untrusted.fit, untrusted.dataset)
    assert again == artifact.read(PAGE).decode()


def test_the_pages_text_colour_is_the_plots(fitted):
    drawn = curves_svg(fitted)
    assert "currentColor" in drawn
    assert not re.search(r"#000000|<style|<metadata|<script", drawn)


@pytest.mark.parametrize("curves", [1, 2])
def test_reliability_is_drawn_even_where_all_rows_share_a_bin(curves):
    sure = reliability(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 0, 1]))
    drawn = reliability_svg({f"curve {number}": sure for number in range(curves)})
    assert drawn.count("ECE 0.2500") == curves


@pytest.mark.parametrize("rows", [1, 5, 50_000])
def test_residuals_of_any_number_of_rows_are_drawn_small(rows):
    targets = np.random.default_rng(0).normal(size=rows)
    assert len(residuals_svg(targets + 0.1, targets)) < 300_000
    assert residuals_svg(targets * 1e30, targets * 1e30 + 1e20)
    assert residuals_svg(0 * targets, 0 * targets)


def confusion_of(classes, rows=300):
    generator = np.random.default_rng(0)
    targets = generator.integers(0, classes, rows)
    chosen = np.where(generator.random(rows) < 0.8, targets, (targets + 1) % classes)
    return Confusion.of([f"class {i}" for i in range(classes)], targets, chosen), targets, chosen


@pytest.mark.parametrize("classes", [2, MOST_TABULATED, MOST_TABULATED + 1, 100])
def test_the_confusion_counts_each_row_once(classes):
    confusion, targets, chosen = confusion_of(classes)
    assert confusion.counts.sum() == len(targets)
    assert np.trace(confusion.counts) == (targets == chosen).sum()
    assert confusion.tabulated == (classes <= MOST_TABULATED)
    assert len(confusion_svg(confusion.shares)) < 300_000
    worst = [int(row[2]) for row in confusion.most_frequent().rows]
    assert worst == sorted(worst, reverse=True)
    table, more = confusion.of_classes()
    assert len(table.rows) + more == len(np.unique(targets))
    recalls = [float(row[2]) for row in table.rows]
    assert recalls == sorted(recalls)


def test_a_class_that_does_not_occur_has_no_recall_and_breaks_nothing():
    confusion = Confusion.of(("a", "b", "c"), np.array([0, 0, 1]), np.array([0, 2, 1]))
    assert [name for name, _ in confusion.cells()] == ["a", "b", "c"]
    assert [row[0] for row in confusion.of_classes()[0].rows] == ["a", "b"]
    assert confusion.most_frequent().rows == (("a", "c", "1", "50.0 %"),)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a b"), ("a\u2028\x00\u202eb", "a b"), ("x" * 50, "x" * 9 + "…"), (7, "7")],
)
def test_text_is_shown_on_one_line_without_control_characters(text, shown):
    assert one_line(text, 10) == shown
