"""Tables of text: what is read, and what is refused by line."""

import re

import numpy as np
import pytest

from lockstep.errors import InvalidSetting, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.delimited import read_delimited_table
from lockstep_train.data.sources.load import load

ROWS = [(i / 4, f"w{i % 3}", "ab"[i % 2]) for i in range(24)]


def text_of(separator=",", header="x,word,y", end="\n", rows=ROWS):
    lines = [header.replace(",", separator)] if header else []
    lines += [separator.join(map(str, row)) for row in rows]
    return end.join(lines) + end


def together(dataset):
    parts = (dataset.train, dataset.validation, dataset.test)
    return sorted(np.concatenate([part.features for part in parts]).tolist())


@pytest.fixture
def plain(loaded):
    return loaded(text_of())


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_separator_and_the_end_of_lines_are_found(loaded, plain, separator, end):
    assert together(loaded(text_of(separator, end=end))) == together(plain)


@pytest.mark.parametrize(
    "changed",
    [
        "\ufeff" + text_of(),
        text_of() + "\n\n",
        text_of().replace("\n", "\n\n", 3),
        text_of().replace("w1", '"w1"'),
        text_of(header="x , word, y"),
    ],
)
def test_marks_quotes_blanks_and_blank_lines_change_nothing(loaded, plain, changed):
    assert together(loaded(changed)) == together(plain)


def test_a_quoted_cell_may_hold_the_separator_and_the_end_of_a_line(loaded):
    rows = [(x, '"one, two"' if i % 2 else '"a\nb"', y) for i, (x, _, y) in enumerate(ROWS)]
    assert set(loaded(text_of(rows=rows)).columns[1].vocabulary) == {"one, two", "a\nb"}


def test_columns_without_a_header_get_the_names_that_are_given(loaded, plain):
    names = ("x", "word", "y")
    assert together(loaded(text_of(header=""), header=False, names=names)) == together(plain)
    assert loaded(text_of(header=""), header=False, target="column_3").column_names == (
        "column_1",
        "column_2",
    )


def test_a_column_without_a_name_is_left_out_and_said(loaded, plain):
    rows = [(i, *row) for i, row in enumerate(ROWS)]
    dataset = loaded(text_of(header=",x,word,y", rows=rows))
    assert together(dataset) == together(plain)
    assert "Column 1 of" in dataset.notes[0]
    assert "no name" in dataset.notes[0]


@pytest.mark.parametrize("word", ["", "?", "NA", " ", "null", "NaN"])
def test_words_that_mean_missing_are_missing_in_every_kind(loaded, word):
    rows = [(word, word, "a"), *ROWS, (word, "w1", "b"), (1, word, "a")] * 3
    dataset = loaded(text_of(", ", rows=rows))
    assert [column.missing_allowed for column in dataset.columns] == [True, True]
    assert dataset.columns[0].kind == "numeric"
    assert sorted(dataset.columns[1].vocabulary) == ["w0", "w1", "w2"]


def test_other_words_can_be_set_to_mean_missing(loaded):
    rows = [("absent", *row[1:]) if i % 5 == 0 else row for i, row in enumerate(ROWS)]
    column = loaded(text_of(rows=rows), missing=("absent",)).columns[0]
    assert (column.kind, column.missing_allowed, column.missing_words) == (
        "numeric",
        True,
        ("absent",),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no rows"),
        ("x,y\n", "holds no rows below its header"),
        ("x,y\n1,a\n2\n3,b\n", "line 3: expected 2 cells, got 1"),
        ("x,y\n1,a\n2,b,c\n3,b\n", "line 3: expected 2 cells, got 3"),
        ('x,y\n"1\n2",a\n\n2,b,c\n', "line 5: expected 2 cells, got 3"),
        ("x,x,y\n1,2,a\n", "names the columns 1 and 2 both 'x'"),
        ("1,2,3\n4,5,6\n", "line 1: expected the columns' names, got only numbers (1, 2, 3, ...)"),
        (b"x,y\n1,a\n2,caf\xe9\n", "line 3: expected UTF-8 text, got the byte 0xe9"),
    ],
)
def test_what_is_no_table_is_refused_by_line(loaded, text, sentence):
    with pytest.raises(Unreadable, match=re.escape(sentence)) as caught:
        loaded(text)
    assert "table.csv" in str(caught.value)


def test_names_must_fit_the_columns(loaded):
    with pytest.raises(InvalidSetting, match="has 3 columns, but 2 names were given"):
        loaded(text_of(header=""), header=False, names=("x", "y"))
    with pytest.raises(InvalidSetting, match="pass --no-header too"):
        loaded(text_of(), names=("x", "word", "y"))


def test_a_cell_is_named_by_its_line_though_lines_before_it_are_blank_or_several(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('x,y\n\n"a\nb",1\n\nc,2\n')
    table = read_delimited_table(path, header=True)
    assert table.where(0, "x") == f"{path}, line 3, column x"
    assert table.where(1, "x") == f"{path}, line 6, column x"


@pytest.mark.parametrize("cell", ["-", "12a", "1_000", "0x1f"])
def test_a_word_among_numbers_is_named_with_what_to_do(loaded, cell):
    rows = [*ROWS, (cell, "w1", "a")]
    with pytest.raises(Unreadable) as caught:
        loaded(text_of(rows=rows))
    message = str(caught.value)
    assert f"line {len(rows) + 1}, column x: expected a number" in message
    assert f"got {cell!r}" in message
    assert "data.missing" in message


def test_decimal_commas_are_refused_with_what_to_write(loaded):
    rows = [(f"{i},5", *row[1:]) for i, row in enumerate(ROWS)]
    with pytest.raises(Unreadable, match=r"line 2, column x: .* got '0,5'; write it as 0\.5"):
        loaded(text_of(";", rows=rows))


def test_a_missing_column_is_answered_with_those_that_there_are(loaded):
    with pytest.raises(InvalidSetting, match=r"'wrod'.* Did you mean word\? There are: x, word, y"):
        loaded(text_of(), target="wrod")
    with pytest.raises(InvalidSetting, match="pass --no-header"):
        loaded(text_of(header=""), target="income")


def test_a_target_has_to_be_named(loaded):
    with pytest.raises(InvalidSetting, match=r"Pass --target COLUMN\. There are: x, word, y"):
        loaded(text_of(), target=None)


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Unreadable, match=r"There is no file .*none\.csv"):
        load(str(tmp_path / "none.csv"), Configuration())
    (tmp_path / "table.xlsx").write_text("")
    with pytest.raises(InvalidSetting, match=r"Expected a table as CSV .*table\.xlsx"):
        load(str(tmp_path / "table.xlsx"), Configuration())
