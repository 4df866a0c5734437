import re

import pytest

from lockstep.artifact.folder import open_artifact
from lockstep.proof.certificate import Certificate
from lockstep_train.export.export import CURVES
from lockstep_train.report.card import write_card

pytestmark = pytest.mark.slow


@pytest.fixture
def sealed(artifact):
    return open_artifact(artifact)


@pytest.fixture
def card(untrusted):
    return untrusted.artifact.read("card.md").decode()


def rows_of(card):
    return [line for line in card.splitlines() if line.startswith("|")]


def cells_of(line):
    """A table's row as a reader of GitHub's Markdown splits it."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]


def test_the_card_is_the_same_text_for_the_same_arguments(wine, sealed):
    certificate = Certificate.from_bytes(sealed.read("certificate.json"))
    cards = {write_card(sealed.manifest, certificate, wine.fit, CURVES) for _ in range(2)}
    assert cards == {sealed.read("card.md").decode()}


def test_the_card_says_what_a_person_must_know(sealed):
    card = sealed.read("card.md").decode()
    for wanted in (
        "# wine, version 1",
        "`class_0`, `class_1`, `class_2`",
        "| `alcohol` | numeric |",
        "| accuracy |",
        "| the training split's class shares |",
        "The best epoch is",
        "(report/curves.png)",
        "| `network.hidden` | 16, 8 |",
        "| inference mode | `model.onnx` | clean",
        "| parity on every row of the test split | `eager = onnx` | 36 rows, max abs",
        "lockstep predict models/wine/1",
    ):
        assert wanted in card


def test_the_card_of_a_regression_names_the_target_and_the_mean_beside_it(diabetes):
    card = (diabetes.path / "card.md").read_text(encoding="utf-8")
    assert "Predicts the number disease_progression" in card
    assert "| the training split's mean |" in card
    assert "in the unit of disease_progression" in card
    assert "## Calibration" not in card


def test_the_card_tells_kinds_categories_missing_and_calibration(card, untrusted):
    assert "| categorical | 20 categories | allowed | has a code |" in card
    assert "| boolean |" in card
    assert "numeric (\\<b\\>mm\\</b\\>)" in card
    assert f"{untrusted.calibration.note.split(',')[0]}" in card
    assert "| validation split | 1 |" in card


def test_every_row_of_a_table_has_as_many_cells_as_its_head(card):
    rows = rows_of(card)
    heads = [i for i, row in enumerate(rows) if set(row) <= {"|", "-"}]
    assert len(heads) >= 5
    for start, end in zip(heads, [*(i - 1 for i in heads[1:]), len(rows)], strict=True):
        widths = {len(cells_of(row)) for row in rows[start - 1 : end]}
        assert len(widths) == 1, rows[start - 1 : end]


def test_no_name_becomes_markup(card):
    outside_code = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", card)
    plain = re.sub(r"\\[!-/:-@\[-`{-~]", "", outside_code)
    assert "<" not in plain
    assert "**" not in plain
    assert "[here]" not in plain
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == [
        "# untrusted, version 1",
        "## Data",
        "## Figures on the held-out test split",
        "## Calibration",
        "## Training",
        "## Proved",
        "## Use",
    ]


def test_a_note_of_the_data_is_one_item(card):
    items = [line for line in card.splitlines() if line.startswith("- ")]
    assert len(items) == 1
    assert "is \\# odd" in items[0]
