"""How a network's answers stand in columns: their names, and cells that lose no bit."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lockstep.artifact.manifest import Manifest
from lockstep.scoring.answers import answer_cells, answer_columns, label_text


def tensors_manifest(*outputs):
    return Manifest.model_validate(
        {
            "name": "m",
            "version": 1,
            "task": "tensors",
            "origin": "imported",
            "created": "2026-01-01T00:00:00Z",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
            "outputs": [
                {"name": name, "datatype": "FP32", "shape": [-1, *shape]} for name, shape in outputs
            ],
        }
    )


@given(hnp.arrays(np.uint32, (6, 1), elements=st.integers(0, 2**32 - 1)))
def test_a_float32_is_the_shortest_text_that_reads_back_to_the_same_bits(patterns):
    values = patterns.view(np.float32)
    values = values[~np.isnan(values)].reshape(-1, 1)
    assume(len(values))
    cells = [row[0] for row in answer_cells(tensors_manifest(("y", (1,))), (values,))]
    # Read as a float32, and as most programs read it, as a float64 that is then rounded.
    assert np.array(cells, np.str_).astype(np.float32).tobytes() == values.tobytes()
    with np.errstate(over="ignore"):
        rounded = np.array([float(cell) for cell in cells], np.float64).astype(np.float32)
    assert rounded.tobytes() == values.tobytes()
    for cell, value in zip(cells, values[:, 0], strict=True):
        digits = cell.lower().partition("e")[0].replace(".", "").replace("-", "").strip("0")
        if np.isfinite(value) and len(digits) > 1:
            assert np.float32(f"{value:.{len(digits) - 2}e}") != value


def test_outputs_of_an_imported_model_keep_their_names():
    manifest = tensors_manifest(("label", ()), ("score", (1,)), ("map", (2, 2)))
    answers = (
        np.array(["a", "b"], object),
        np.array([[True], [False]]),
        np.arange(8, dtype=np.float64).reshape(2, 2, 2),
    )
    assert answer_columns(manifest, answers) == [
        "label", "score", "map_0", "map_1", "map_2", "map_3",
    ]  # fmt: skip
    assert list(answer_cells(manifest, answers)) == [
        ["a", "true", "0.0", "1.0", "2.0", "3.0"],
        ["b", "false", "4.0", "5.0", "6.0", "7.0"],
    ]


@pytest.mark.parametrize(
    ("label", "text"), [(3, "3"), (True, "true"), ("a,b", "a,b"), (0.5, "0.5")]
)
def test_a_label_is_written_as_json_would(label, text):
    assert label_text(label) == text
