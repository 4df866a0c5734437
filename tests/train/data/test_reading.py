"""Training and scoring read every table of text alike: names, cells, rows, lines and refusals."""

import os
import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lockstep.artifact.columns import Column
from lockstep.artifact.encoding import encode
from lockstep.errors import InvalidInstances, Unreadable
from lockstep.table.cell import BLANKS, number, read_cells
from lockstep.table.delimited import open_delimited
from lockstep.table.features import read_delimited as read_to_score
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.columns.cells import without_missing
from lockstep_train.data.columns.features import feature
from lockstep_train.data.columns.kinds import settle_kind
from lockstep_train.data.sources.delimited import _collect, _parse, read_delimited_table
from lockstep_train.data.table import Table, numbered

pytestmark = pytest.mark.slow

SEPARATORS = st.sampled_from([",", ";", "\t", "|"])
# What is cut, quoted and stripped, beside a letter, a digit, and letters of two and three bytes.
CELLS = st.text(alphabet='a1.-,;\t|" \n\r\x1c\x00é\u3000\ufeff', max_size=4)
QUIET = st.sampled_from(["", " ", "a", "1", "-2.5", "NA", "x y", "é", "0", '5"'])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def written(draw):
    """A text as programs and people write tables: mostly right, seldom wrong."""
    separator = draw(SEPARATORS)
    width = draw(st.integers(1, 4))
    cells = draw(st.sampled_from([QUIET, QUIET | CELLS]))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6))
    names = draw(
        st.lists(
            st.sampled_from(["x", " y ", "z,w", "", "1", "v"]),
            min_size=width,
            max_size=width,
            unique=draw(st.booleans()),
        )
    )
    quoting = draw(st.sampled_from(["never", "all", "needed"]))

    def cell(word):
        special = any(mark in word for mark in f'{separator}"\n\r')
        if quoting == "all" or (quoting == "needed" and special):
            return '"' + word.replace('"', '""') + '"'
        return word

    lines = [separator.join(map(cell, row)) for row in [names, *rows]]
    blank = st.sampled_from(["", " ", separator, separator * 5, f' {separator}"\n" ', '""'])
    others = blank | st.sampled_from(["a", f"1{separator}2", '"a"b', '"open', "caf\xe9"])
    for line in draw(st.lists(draw(st.sampled_from([blank, others])), max_size=3)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    end = draw(ENDS)
    text = end.join(lines) + draw(st.sampled_from(["", end, end * 3]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "latin-1"]))
    return text.encode(encoding, errors="replace")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("reading") / "t.csv"


def trained_on(path, header):
    """Names, stripped cells and lines, as training has them; or the sentence that refuses."""
    try:
        table = read_delimited_table(path, header=header)
    except Unreadable as error:
        return str(error)
    frame = table.frame.select(pl.all().str.strip_chars(BLANKS))
    lines = [table.place(row) for row in range(frame.height)]
    return tuple(frame.columns), frame.rows(), lines


def scored(path, header):
    """The same, as a network of all of the table's columns, each of words, is asked for them."""
    try:
        with open_delimited(path, header=header) as text:
            names = text.names
        # Without a header a network's columns are all of the table's.
        columns = [
            Column(name=name, kind="categorical", vocabulary=(), blank_missing=False)
            for name in names
        ]
        chunks = list(read_to_score(path, columns, header=header, note=lambda _: None))
    except Unreadable as error:
        return str(error)
    rows = [tuple(cell.strip() for cell in row) for chunk in chunks for row in chunk.instances]
    lines = [f"{path}, line {place}" for chunk in chunks for place in chunk.places]
    return names, rows, lines


@given(written(), st.booleans())
@example(b"x;y\n1,5;2\n3,5;4\n", True)
@example(b"x,y\n,,\n1,2\n , \n3,4\n", True)
@example(b'x,y\n"a\n\nb",1\n\n,,,,\n2,3\n', True)
@example(b"x,y\n1,\n2\n", True)
@example(b"x\n1\n\n2\n", True)
@example("\ufeff\ufeffx,y\n1,2\n".encode(), False)
@example(b"x\ry\r", True)
@example(b"x,y\n1,2,\n", True)
@example(b"x, y \n\xef\xbb\xbf,", True)
@example(b'x,y\n1,5"\n2,6"\n', True)
def test_training_and_scoring_read_every_text_alike(path, content, header):
    path.write_bytes(content)
    assert trained_on(path, header) == scored(path, header)


@given(written(), st.booleans())
def test_polars_reads_what_it_is_given_as_the_core_reads_it(path, content, header):
    path.write_bytes(content)
    try:
        with open_delimited(path, header=header) as text:
            found = _parse(path, text)
        if found is None:
            return
    except Unreadable:
        found = None
    try:
        with open_delimited(path, header=header) as text:
            expected = _collect(text)
    except Unreadable:
        expected = None
    assert (found is None) == (expected is None)
    assert found is None or found.equals(expected)


@pytest.mark.parametrize(
    "content",
    [
        b"x,y\n1,2\n",
        b"x,y\r\n1,\r\n\r\n,2\r\n",
        b'x,y\n"a, b","c ""d"""\n"1\n2",""\n"""",2',
        '\ufeff"x";"y"\r\n"a";"b"'.encode(),
    ],
)
def test_a_regular_text_is_left_to_polars(path, content):
    path.write_bytes(content)
    with open_delimited(path, header=True) as text:
        assert _parse(path, text) is not None


@pytest.mark.parametrize(
    "content", [b'x,y\n1,5"\n2,6"\n', b'x,y\n1, "a"\n', b"x,y\n1,2\r3,4\n", b'x\n1"\r\n"2"\n']
)
def test_a_text_that_polars_may_cut_otherwise_is_not(path, content):
    path.write_bytes(content)
    with open_delimited(path, header=True) as text:
        assert _parse(path, text) is None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_many_lines_within_cells_are_cut_alike_where_several_threads_read_them(path, end):
    cell = '"' + end * 3 + 'a, ""b""' + end + '"'
    path.write_text(f"x,y,z{end}" + f"1,{cell},{end}" * 60_000, newline="")
    with open_delimited(path, header=True) as text:
        found = _parse(path, text)
    assert found.equals(
        pl.DataFrame(
            {"x": "1", "y": cell[1:-1].replace('""', '"'), "z": ""},
        ).select(pl.all().repeat_by(60_000).explode())
    )


def test_a_cell_beyond_what_is_read_is_refused_by_both(path):
    path.write_text("x,y\n1,2\n3," + "a" * 200_000 + "\n")
    assert "line 3: this is not CSV: field larger" in trained_on(path, True)
    assert trained_on(path, True) == scored(path, True)


WORDS = (
    st.sampled_from(
        [
            "",
            " ",
            "NA",
            "nan",
            "NAN",
            "-nan",
            "inf",
            "1e400",
            "-999",
            " -999 ",
            "1_000",
            "١",
            "0x1f",
            "1",
            "+.5",
            "1.",
            "1e",
            "1E+5",
            " 2\xa0",
            "\x1f3",
            "-0.1",
            "9007199254740993",
            "--",
            "1,5",
        ]
    )
    | st.floats(allow_nan=False, width=64).map(repr)
    | st.text("0123456789.+-eE_ ", max_size=6)
)


@given(
    st.lists(WORDS, min_size=1, max_size=5),
    st.sampled_from([("", "NA"), ("NA",), ("", "-999"), ("--", "1")]),
)
def test_a_number_and_a_missing_word_are_the_same_in_training_and_in_scoring(cells, missing):
    table = Table(name="t", frame=pl.DataFrame({"x": cells}), place=numbered("t"), text=True)
    values = without_missing(table.frame["x"], missing)
    settings = {"data": {"missing": missing}}
    trained = np.arange(len(cells))
    try:
        typed = settle_kind(table, values, "numeric")
        found = feature(
            table, typed.values, "numeric", trained, Configuration.model_validate(settings)
        )
        expected, column = found.values, found.column
    except Unreadable:
        expected = None
        column = Column(
            name="x",
            missing_words=tuple(filter(None, missing)),
            missing_allowed=True,
            blank_missing="" in missing,
        )
    try:
        answer = encode([[value] for value in read_cells(cells, column)], [column])[:, 0]
    except InvalidInstances:
        answer = None
    assert (answer is None) == (expected is None)
    if answer is not None and values.null_count() < len(values):
        np.testing.assert_array_equal(answer, expected)


@given(st.lists(WORDS, min_size=1))
def test_a_number_is_what_polars_casts_to_one(words):
    words = [word.strip() for word in words]
    cast = pl.Series(words, dtype=pl.String).cast(pl.Float64, strict=False).to_list()
    np.testing.assert_equal([number(word) for word in words], cast)


def test_blanks_are_those_of_python():
    assert set(BLANKS) == {mark for mark in map(chr, range(0x110000)) if mark.isspace()}


@pytest.mark.parametrize("blank", ["", "NA"])
def test_a_line_of_one_column_must_hold_a_word_to_be_a_row(path, blank):
    path.write_text(f"x\n1\n{blank}\n2\n")
    kept = ["1", blank, "2"] if blank else ["1", "2"]
    assert [row for (row,) in trained_on(path, True)[1]] == kept
    assert trained_on(path, True) == scored(path, True)


def test_lines_of_blank_cells_get_no_answer_and_are_counted(path):
    path.write_text("x,y\n,\n1,2\n\n , \n3,4\n")
    notes = []
    columns = [Column(name="x"), Column(name="y")]
    (chunk,) = read_to_score(path, columns, header=True, note=notes.append)
    assert chunk.places == [3, 6]
    assert notes == [
        f"{path}: lines of nothing but blank cells get no answer: 2 of them, the first at line 2."
    ]


def test_a_pipe_is_read_once(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    rows = [f"{i};{i},5" for i in range(5000)]
    writer = threading.Thread(target=pipe.write_text, args=["\n".join(["x;y", *rows])])
    writer.start()
    columns = [Column(name="y", kind="categorical", vocabulary=())]
    chunks = read_to_score(pipe, columns, header=True, note=lambda _: None)
    assert [row for chunk in chunks for row in chunk.instances] == [[f"{i},5"] for i in range(5000)]
    writer.join()


def test_the_number_of_columns_helps_to_find_the_separator(path):
    path.write_text("a;b;c,1\n")
    columns = [Column(name="word", kind="categorical", vocabulary=()), Column(name="x")]
    (chunk,) = read_to_score(path, columns, header=False, note=lambda _: None)
    assert chunk.instances == [["a;b;c", 1.0]]
    assert read_delimited_table(path, header=False, names=("word", "x")).frame.rows() == [
        ("a;b;c", "1")
    ]
