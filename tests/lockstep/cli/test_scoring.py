"""`lockstep predict`."""

import numpy as np
import pytest


def test_predictions_go_to_stdout_or_a_file_with_the_same_text(lockstep, artifact, table, tmp_path):
    code, out, err = lockstep("predict", artifact, table)
    assert (code, err) == (0, "")
    assert out.startswith("label,probability_class_0,")
    code, nothing, _ = lockstep("predict", artifact, table, "-o", tmp_path / "answers.csv")
    assert (code, nothing) == (0, "")
    assert (tmp_path / "answers.csv").read_text() == out
    probabilities = [row.split(",")[1:] for row in out.splitlines()[1:]]
    assert np.array(probabilities).astype(np.float32).sum(axis=1) == pytest.approx(1)


def test_a_table_that_cannot_be_scored_is_2(lockstep, artifact, table):
    table.write_text(table.read_text().replace("alcohol", "spirit"))
    code, out, err = lockstep("predict", artifact, table)
    assert (code, out) == (2, "")
    assert "lacks 1 of the network's 13 columns: alcohol." in err


def test_a_note_goes_to_stderr(lockstep, artifact, table):
    lines = table.read_text().splitlines()
    table.write_text("\n".join(f"{line},1" for line in lines).replace("proline,1", "proline,extra"))
    code, _, err = lockstep("predict", artifact, table)
    assert code == 0
    assert err.startswith("lockstep: note: ")
