"""What is read when a model is loaded: each file once, and nothing of it is kept."""

import gc
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import pytest

from lockstep.artifact import folder
from lockstep.artifact.folder import SERVING_FILES
from lockstep.proof.verify import verify
from lockstep_service.repository.load import load_repository
from lockstep_service.settings import Settings
from lockstep_service.view.telemetry import Telemetry
from serving import ROOT

pytestmark = pytest.mark.slow

SERVING = {*SERVING_FILES, "manifest.json", "digest"}
ENGINES = ("onnx", "torchscript")

# Python tells of every file that it opens; a process of its own has opened none before.
OPENINGS = """
import json, sys
opened = []
sys.addaudithook(lambda event, words: event == "open" and opened.append(str(words[0])))
from pathlib import Path
from lockstep_service.app import create_app
from lockstep_service.settings import Settings
create_app(Settings(models=Path(sys.argv[1]), engine=sys.argv[2], log_level="error"))
print(json.dumps(opened))
"""


class Watched(bytes):
    """A file's bytes, which say when nobody holds them any more."""

    def __del__(self):
        self.held.discard(self.name)


class Files:
    """Stands for every file that is read: counts, and watches what it hands out."""

    def __init__(self):
        self.read = Counter()
        self.held = set()

    def read_bytes(self, path):
        with path.open("rb") as file:
            data = Watched(file.read())
        data.name, data.held = path.name, self.held
        self.read[path.name] += 1
        self.held.add(path.name)
        return data


class Calls:
    """A function that counts how often it is called."""

    def __init__(self, function):
        self.function = function
        self.count = 0

    def __call__(self, *words, **options):
        self.count += 1
        return self.function(*words, **options)


@pytest.fixture
def files(monkeypatch):
    files = Files()

    def read_bytes(path):
        return files.read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return files


def loaded(models, engine):
    return load_repository(Settings(models=models, engine=engine), Telemetry())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("whole", ["repository", "artifact"])
def test_each_file_that_serving_rests_on_is_opened_once(whole, engine, diabetes):
    place = diabetes.path if whole == "artifact" else diabetes.path.parent.parent
    words = [sys.executable, "-c", OPENINGS, str(place), engine]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    opened = Counter(Path(path).name for path in json.loads(done.stdout.splitlines()[-1]))
    assert {name: opened[name] for name in SERVING} == dict.fromkeys(SERVING, 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_that_is_served_holds_a_file_s_bytes(engine, diabetes, files):
    repository = loaded(diabetes.path, engine)
    assert files.read.keys() >= SERVING
    gc.collect()
    assert files.held == set()
    assert len(repository.find().row) == 1
    assert repository.find().row.base is None


@pytest.mark.parametrize("engine", ENGINES)
def test_the_graph_is_parsed_once_and_one_session_is_opened(engine, diabetes, monkeypatch):
    """In exact precision the graph is read for the theorem, whatever runs the rows."""
    parse, session = Calls(onnx.load_model_from_string), Calls(onnxruntime.InferenceSession)
    monkeypatch.setattr(onnx, "load_model_from_string", parse)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    loaded(diabetes.path, engine)
    assert (parse.count, session.count) == (1, 1 if engine == "onnx" else 0)


def test_each_file_is_hashed_once(diabetes, monkeypatch):
    sha256 = Calls(folder.sha256)
    monkeypatch.setattr(folder, "sha256", sha256)
    loaded(diabetes.path, "onnx")
    sealed = [path for path in diabetes.path.rglob("*") if path.is_file()]
    assert sha256.count == len(sealed) - 1  # the digest is what the manifest's is compared with


def test_verify_reads_each_file_once(diabetes, files):
    assert verify(diabetes.path).holds
    assert {name: files.read[name] for name in SERVING} == dict.fromkeys(SERVING, 1)
