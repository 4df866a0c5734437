"""Model files do not name the files of the machine that exported them."""

import io
import zipfile

from onnx import load_from_string

from corpus import case
from lockstep.artifact.sources import onnx_without_sources, torchscript_without_sources


def test_a_traced_module_loses_its_debug_records_and_nothing_else():
    data = case("good-trace-frozen").read()
    given = zipfile.ZipFile(io.BytesIO(data))
    taken = zipfile.ZipFile(io.BytesIO(torchscript_without_sources(data)))
    named = [name for name in given.namelist() if b"corpus.py" in given.read(name)]
    assert named
    assert all(name.endswith(".debug_pkl") for name in named)
    kept = [name for name in given.namelist() if not name.endswith(".debug_pkl")]
    assert taken.namelist() == kept
    assert all(taken.read(name) == given.read(name) for name in kept)


def test_a_graph_loses_its_stack_traces_and_nothing_else():
    given = case("good-dynamo-eval").read()
    assert b"corpus.py" in given
    taken = onnx_without_sources(load_from_string(given))
    assert b"corpus.py" not in taken
    nodes = [node.op_type for node in load_from_string(given).graph.node]
    assert [node.op_type for node in load_from_string(taken).graph.node] == nodes
