"""Offline scoring of a table, with the same proof and the same engine as in the service."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from lockstep.artifact.folder import open_artifact
from lockstep.artifact.whole import write_file
from lockstep.engine.engine import EngineName
from lockstep.engine.tile import run_in_pieces
from lockstep.errors import InvalidSetting, Unreadable
from lockstep.proof.load import prove_at_load
from lockstep.proof.prove import DEFAULT_MAX_BATCH_ROWS
from lockstep.scoring.answers import answer_cells, answer_columns
from lockstep.table.chunk import Note
from lockstep.table.features import read_features

STDOUT = Path("-")
PROOF_BUDGET_S = 5.0


def score(
    folder: Path | str,
    table: Path | str,
    output: Path | str = STDOUT,
    *,
    engine: EngineName = "onnx",
    header: bool = True,
    note: Note,
) -> int:
    """Answer every row of a table, and write the answers as CSV, whole or not at all.

    Args:
        folder: the artifact.
        table: CSV, Parquet, Arrow or an .npy tensor.
        output: the CSV file; ``-`` is stdout.
        engine: the engine that runs the rows.
        header: whether the first line of a CSV table names its columns.
        note: is called with a sentence for each thing that a person should know.

    Returns:
        The number of rows that were answered.

    Raises:
        Disproved: where the artifact is not proved to be in inference mode here.
        Unreadable: where the artifact or the table cannot be read, or the output cannot be written.
        InvalidSetting: where the output is not CSV, has no folder, or is the table itself; or where
            the table is of another kind.
        EngineUnavailable: where a library that is needed is not installed.
    """
    table, output = Path(table), Path(output)
    _check_output(table, output)
    artifact = open_artifact(folder)
    locked, *_ = prove_at_load(
        artifact, engine, threads=1, max_batch_rows=DEFAULT_MAX_BATCH_ROWS, budget_s=PROOF_BUDGET_S
    )
    for complaint in artifact.changed_papers():
        note(complaint)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    answered = 0
    for features in read_features(table, artifact.manifest, header=header, note=note):
        answers = run_in_pieces(locked, features, DEFAULT_MAX_BATCH_ROWS)
        if not answered:
            writer.writerow(answer_columns(artifact.manifest, answers))
        writer.writerows(answer_cells(artifact.manifest, answers))
        answered += len(features)
    _write(output, text.getvalue().encode())
    return answered


def _check_output(table: Path, output: Path) -> None:
    """Refuse an unsuitable output before any work is done."""
    if output == STDOUT:
        return
    if output.suffix.lower() in {".parquet", ".arrow", ".npy", ".json", ".xlsx"}:
        raise InvalidSetting(f"The answers are written as CSV, however: {output}; name it .csv.")
    if not output.parent.is_dir():
        raise InvalidSetting(f"There is no folder {output.parent} to write {output.name} into.")
    if output.exists() and table.exists() and output.samefile(table):
        raise InvalidSetting(f"{output} is the table itself; choose another output.")


def _write(output: Path, data: bytes) -> None:
    if output == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        write_file(output, (data,))
    except OSError as error:
        raise Unreadable(f"{output} cannot be written: {error.strerror or error}.") from error
