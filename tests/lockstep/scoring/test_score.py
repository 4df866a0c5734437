import csv
import os
import sys

import numpy as np
import polars as pl
import pytest

from lockstep.artifact.folder import open_artifact
from lockstep.errors import (
    Disproved,
    EngineUnavailable,
    InvalidSetting,
    LockstepError,
    NotFound,
    Unreadable,
)
from lockstep.imported import import_onnx
from lockstep.proof.load import prove_at_load
from lockstep.scoring.score import score

pytestmark = pytest.mark.slow

HEADER = "label,probability_class_0,probability_class_1,probability_class_2"


@pytest.fixture(scope="module")
def rows(wine):
    """Rows of the test split, more than one chunk of the engine's largest batch."""
    return np.resize(wine.dataset.test.features, (300, 13))


@pytest.fixture(scope="module")
def names(wine):
    return list(wine.dataset.column_names)


def write_csv(path, names, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        if names:
            writer.writerow(names)
        writer.writerows(rows.tolist() if isinstance(rows, np.ndarray) else rows)
    return path


def scored(artifact, table, tmp_path, **options):
    """What was answered, as a header and rows of text, and the notes that were made."""
    output = tmp_path / "answers.csv"
    notes = []
    count = score(artifact, table, output, note=notes.append, **options)
    with output.open(newline="") as file:
        header, *answers = csv.reader(file)
    assert len(answers) == count
    return header, answers, notes


def served_bits(artifact, rows, engine="onnx"):
    locked, *_ = prove_at_load(
        open_artifact(artifact), engine, threads=1, max_batch_rows=64, budget_s=5.0
    )
    return np.concatenate([locked.run(rows[i : i + 1])[0] for i in range(len(rows))])


# -- the same bits -----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["onnx", "torchscript"])
def test_a_table_gets_the_bits_of_its_rows_one_by_one(artifact, names, rows, tmp_path, engine):
    table = write_csv(tmp_path / "t.csv", names, rows)
    header, answers, notes = scored(artifact, table, tmp_path, engine=engine)
    assert ",".join(header) == HEADER
    bits = np.array([row[1:] for row in answers]).astype(np.float32)
    assert bits.tobytes() == served_bits(artifact, rows, engine).tobytes()
    best = bits.argmax(axis=1)
    assert [row[0] for row in answers] == [f"class_{i}" for i in best]
    assert notes == []


KINDS = ["parquet", "arrow", "feather", "tsv", "npy", "csv without a header"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gets_the_same_answers(artifact, names, rows, tmp_path, kind):
    expected = scored(artifact, write_csv(tmp_path / "t.csv", names, rows), tmp_path)
    frame = pl.DataFrame(rows, schema=names)
    options = {}
    if kind == "parquet":
        frame.write_parquet(table := tmp_path / "t.parquet")
    elif kind in {"arrow", "feather"}:
        frame.write_ipc(table := tmp_path / f"t.{kind}")
    elif kind == "tsv":
        frame.write_csv(table := tmp_path / "t.tsv", separator="\t")
    elif kind == "npy":
        np.save(table := tmp_path / "t.npy", rows)
    else:
        table = write_csv(tmp_path / "bare.csv", None, rows)
        options = {"header": False}
    assert scored(artifact, table, tmp_path, **options) == expected


def test_columns_are_found_by_name_and_others_passed_over_with_a_note(
    artifact, names, rows, tmp_path
):
    expected = scored(artifact, write_csv(tmp_path / "t.csv", names, rows), tmp_path)[:2]
    order = [*range(12, -1, -1)]
    shuffled = [["target", *row] for row in rows[:, order].tolist()]
    table = write_csv(tmp_path / "s.csv", ["cultivar", *(names[i] for i in order)], shuffled)
    header, answers, notes = scored(artifact, table, tmp_path)
    assert (header, answers) == expected
    assert notes == [f"{table}: passing over columns that the network does not know: cultivar."]


def test_a_regression_answers_one_column(diabetes, tmp_path):
    names = diabetes.dataset.column_names
    table = write_csv(tmp_path / "t.csv", names, diabetes.dataset.test.features[:5])
    header, answers, _ = scored(diabetes.path, table, tmp_path)
    assert header == ["prediction"]
    expected = served_bits(diabetes.path, diabetes.dataset.test.features[:5])
    assert np.array(answers).astype(np.float32).tobytes() == expected.tobytes()


def test_a_table_of_several_chunks_keeps_its_order(artifact, names, rows, tmp_path, monkeypatch):
    whole = scored(artifact, write_csv(tmp_path / "t.csv", names, rows), tmp_path)
    monkeypatch.setattr("lockstep.table.features.TEXT_ROWS", 7)
    monkeypatch.setattr("lockstep.table.tensor.CHUNK_ROWS", 7)
    assert scored(artifact, tmp_path / "t.csv", tmp_path) == whole
    np.save(tmp_path / "t.npy", rows)
    assert scored(artifact, tmp_path / "t.npy", tmp_path) == whole


def test_an_image_network_takes_a_tensor_and_no_table(onnx_file, tmp_path, names, rows):
    graph = "net (float[n, 2, 2] x) => (float[n, 4] y) { y = Flatten(x) }"
    written, _ = import_onnx(onnx_file(graph), tmp_path / "models", "image")
    images = np.arange(12, dtype=np.float64).reshape(3, 2, 2)
    np.save(tmp_path / "t.npy", images)
    header, answers, _ = scored(written.path, tmp_path / "t.npy", tmp_path)
    assert header == ["y_0", "y_1", "y_2", "y_3"]
    assert answers[2] == ["8.0", "9.0", "10.0", "11.0"]
    with pytest.raises(InvalidSetting, match=r"give them as one \.npy tensor"):
        scored(written.path, write_csv(tmp_path / "t.csv", names, rows), tmp_path)


# -- tables that cannot be scored --------------------------------------------------------------


def lines_of(names, rows):
    return [",".join(names), *(",".join(map(str, row)) for row in rows[:3].tolist())]


def replaced(line, cell, value):
    def spoil(lines):
        cells = lines[line].split(",")
        cells[cell] = value
        return [*lines[:line], ",".join(cells), *lines[line + 1 :]]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (replaced(2, 0, "x"), "line 3, column alcohol: expected a number, got the string 'x'"),
        (replaced(2, 0, "1_000"), "line 3, column alcohol: expected a number"),
        (replaced(2, 12, ""), "line 3, column proline: expected a value, got none"),
        (replaced(2, 12, "nan"), "line 3, column proline: expected a value, got none"),
        (replaced(1, 1, "inf"), "line 2, column malic_acid: expected a number that float32"),
        (replaced(1, 1, "1e39"), "line 2, column malic_acid: expected a number that float32"),
        (replaced(3, 2, "1,2"), "line 4: expected 13 cells, got 14"),
        (replaced(3, 2, '"1'), "line 4: this is not CSV"),
        (replaced(3, 2, '"1"2'), "line 4: this is not CSV"),
        (replaced(0, 0, "alcool"), "alcohol. Is 'alcool' meant for 'alcohol'?"),
        (lambda lines: [f"{line},1" for line in replaced(0, 1, "colour")(lines)], "lacks 1 of"),
        (
            lambda lines: [f"{lines[0]},alcohol", *(f"{line},1" for line in lines[1:])],
            "names the columns 1 and 14 both 'alcohol'",
        ),
        (lambda lines: [lines[0], "", "", *replaced(1, 0, "x")(lines)[1:]], "line 4, column"),
        (lambda lines: [lines[0], '"1', '2",' + lines[1], "x"], "line 2: expected 13 cells"),
        (lambda lines: lines[1:], "line 1: expected the columns' names, got only numbers"),
        (lambda lines: lines[:1], "holds no rows"),
        (lambda _: [], "holds no rows"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused_by_line_and_nothing_is_written(
    artifact, names, rows, tmp_path, spoil, message
):
    table = tmp_path / "t.csv"
    table.write_text("".join(f"{line}\n" for line in spoil(lines_of(names, rows))))
    with pytest.raises(Unreadable) as caught:
        scored(artifact, table, tmp_path)
    assert message in str(caught.value)
    assert str(table) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_many_wrong_cells_are_counted_and_the_first_three_shown(artifact, names, tmp_path):
    table = write_csv(tmp_path / "t.csv", names, [["x"] * 13] * 5)
    with pytest.raises(Unreadable, match="and at least 62 more") as caught:
        scored(artifact, table, tmp_path)
    assert str(caught.value).count("expected a number") == 3


def test_a_mark_of_byte_order_and_foreign_line_ends_are_no_matter(artifact, names, rows, tmp_path):
    lines = lines_of(names, rows)
    plain = write_csv(tmp_path / "t.csv", names, rows[:3])
    expected = scored(artifact, plain, tmp_path)
    plain.write_bytes("﻿".encode() + "\r\n".join([*lines, "", ""]).encode())
    assert scored(artifact, plain, tmp_path) == expected


def test_a_file_that_is_no_text_is_refused(artifact, tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Unreadable, match="line 1: expected UTF-8 text, got the byte 0xff"):
        scored(artifact, tmp_path / "t.csv", tmp_path)


def test_a_frame_names_the_row_and_its_null_is_missing(artifact, names, rows, tmp_path):
    frame = pl.DataFrame(rows[:3], schema=names)
    frame = frame.with_columns(alcohol=pl.Series([1.0, None, 3.0]))
    frame.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(Unreadable, match=r"t\.parquet, row 2, column alcohol: expected a value"):
        scored(artifact, tmp_path / "t.parquet", tmp_path)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.npy"])
def test_a_file_that_is_not_what_it_is_called_is_refused(artifact, tmp_path, name):
    (tmp_path / name).write_bytes(b"neither")
    with pytest.raises(Unreadable, match="cannot be read as"):
        scored(artifact, tmp_path / name, tmp_path)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_without_polars_the_sentence_says_what_to_install(artifact, tmp_path, name, monkeypatch):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(EngineUnavailable, match=r"install lockstep\[tables\]"):
        scored(artifact, tmp_path / name, tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 12), np.float32), r"shape \[rows, 13\], got float32 \[2, 12\]"),
        (np.zeros((0, 13), np.float32), r"got float32 \[0, 13\]"),
        (np.zeros(13, np.float32), r"got float32 \[13\]"),
        (np.float32(1), r"got float32 \[\]"),
        (np.full((2, 13), "x"), "must hold numbers"),
        (np.full((2, 13), np.nan), "row 1, column alcohol: expected a value, got none"),
        (np.full((2, 13), 1e39), "row 1, column alcohol: .* float32 can hold"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(artifact, tmp_path, array, message):
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(Unreadable, match=message):
        scored(artifact, tmp_path / "t.npy", tmp_path)


def test_a_pickled_tensor_is_not_opened(artifact, tmp_path):
    np.save(tmp_path / "t.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(Unreadable, match="cannot be read as"):
        scored(artifact, tmp_path / "t.npy", tmp_path)


def test_a_table_that_is_not_there_or_of_no_known_kind_is_refused(artifact, tmp_path):
    with pytest.raises(NotFound, match="There is no table"):
        scored(artifact, tmp_path / "t.csv", tmp_path)
    with pytest.raises(InvalidSetting, match=r"ends in \.csv, .*\.parquet, .*\.arrow, .*\.npy"):
        scored(artifact, tmp_path / "t.xlsx", tmp_path)


def test_an_artifact_that_was_changed_scores_nothing(artifact_copy, names, rows, tmp_path):
    table = write_csv(tmp_path / "t.csv", names, rows[:2])
    with (artifact_copy / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(Disproved):
        scored(artifact_copy, table, tmp_path)
    assert not (tmp_path / "answers.csv").exists()


def test_a_changed_card_is_only_noted(artifact_copy, names, rows, tmp_path):
    table = write_csv(tmp_path / "t.csv", names, rows[:2])
    (artifact_copy / "card.md").write_text("better")
    assert "card.md is not the file that was sealed" in scored(artifact_copy, table, tmp_path)[2][0]


# -- the output --------------------------------------------------------------------------------


def test_the_answers_go_to_stdout_where_no_file_is_named(
    artifact, names, rows, tmp_path, capfdbinary
):
    table = write_csv(tmp_path / "t.csv", names, rows[:2])
    assert score(artifact, table, note=lambda _: None) == 2
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[0] == HEADER
    assert len(lines) == 3


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_output_that_cannot_be_written_keeps_its_old_content(
    artifact, names, rows, tmp_path, monkeypatch, step
):
    table = write_csv(tmp_path / "t.csv", names, rows[:2])
    output = tmp_path / "answers.csv"
    output.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(LockstepError, match="cannot be written: No space left on device"):
        score(artifact, table, output, note=lambda _: None)
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "t.csv"]


def test_a_pipe_is_written_into_and_not_replaced(artifact, names, rows, tmp_path):
    table = write_csv(tmp_path / "t.csv", names, rows[:1])
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        score(artifact, table, pipe, note=lambda _: None)
        assert os.read(reader, 10_000).decode().startswith(HEADER)
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("t.csv", "is the table itself"),
        ("nowhere/out.csv", "There is no folder"),
        ("out.parquet", "name it .csv"),
    ],
)
def test_an_output_that_cannot_be_meant_is_refused_beforehand(
    artifact, names, rows, tmp_path, output, message
):
    table = write_csv(tmp_path / "t.csv", names, rows[:1])
    before = table.read_bytes()
    with pytest.raises(InvalidSetting, match=message):
        score(artifact, table, tmp_path / output, note=lambda _: None)
    assert table.read_bytes() == before
