"""Exact artifacts as they are written, verified, served, and run by unlike processors."""

import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lockstep.artifact.folder import open_artifact
from lockstep.artifact.golden import Golden
from lockstep.engine.engine import open_engine
from lockstep.errors import Disproved
from lockstep.proof.certificate import Certificate
from lockstep.proof.claims import claims
from lockstep.proof.load import prove_at_load
from lockstep.proof.verify import verify
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.data.sources.load import load
from lockstep_train.evaluate.evaluate import evaluate
from lockstep_train.export.export import export
from lockstep_train.fit.fit import fit
from serving import engine_of
from small import SETTINGS

pytestmark = pytest.mark.slow

QEMU = shutil.which("qemu-x86_64")
PROCESSORS = ("Haswell", "Nehalem")
ROWS = 1_000
RUN = """
import hashlib, sys
import numpy, onnxruntime
rows = numpy.load(sys.argv[2])
answers = []
for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL"):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    answers.append(session.run(None, {"features": rows})[0].tobytes())
print(*(hashlib.sha256(each).hexdigest() for each in answers))
"""


@pytest.fixture(scope="module")
def fitted():
    configuration = Configuration.model_validate(SETTINGS)
    dataset = load("digits", configuration)
    return fit(configuration, dataset), dataset


@pytest.fixture(scope="module")
def models(fitted, tmp_path_factory):
    """The same network in both precisions, as ``float32/1`` and ``exact/1``."""
    folder = tmp_path_factory.mktemp("precisions")
    trained, dataset = fitted
    metrics = evaluate(trained.network, dataset.test)
    for precision in ("float32", "exact"):
        write(in_precision(trained, precision), dataset, metrics, folder, precision)
    return folder


def in_precision(trained, precision):
    settings = {"export": {"precision": precision}, **SETTINGS}
    return dataclasses.replace(trained, configuration=Configuration.model_validate(settings))


def write(trained, dataset, metrics, folder, name):
    return export(trained, dataset, metrics, models=folder, name=name)


def resealed(path, **changes):
    """The artifact with another manifest, and perhaps another ONNX file, sealed as it should be."""
    manifest = json.loads((path / "manifest.json").read_text())
    model = changes.pop("model", None)
    if model is not None:
        (path / "model.onnx").write_bytes(model)
        digest = hashlib.sha256(model).hexdigest()
        manifest["files"]["model.onnx"] = {"sha256": digest, "bytes": len(model)}
    text = json.dumps({**manifest, **changes}).encode()
    (path / "manifest.json").write_bytes(text)
    (path / "digest").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
    return path


def overflowing(data):
    """The same file with one weight of one unit so large that the unit's sums round."""
    model = onnx.load_from_string(data)
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    tensor = next(each for each in model.graph.initializer if each.name == gemm.input[0])
    weight = numpy_helper.to_array(tensor).copy()
    weight[5, 3] += 2.0**30
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return model.SerializeToString()


def proved_at_load(path, engine="onnx"):
    return prove_at_load(open_artifact(path), engine, threads=1, max_batch_rows=64, budget_s=1.0)


def test_an_exact_artifact_says_so_and_its_forms_are_no_ulp_apart(models):
    sealed = open_artifact(models / "exact" / "1")
    assert sealed.manifest.precision == "exact"
    found = verify(sealed.path)
    assert found.holds, found.complaints
    assert set(found.golden.values()) == {"equal"}
    assert {parity.bound for parity in found.certificate.parity} == {0.0}
    assert {parity.max_ulp for parity in found.certificate.parity} == {0}
    facts = sealed.manifest.training
    assert all(p["max_ulp"] == 0 for of in facts["parity"] for p in of["parity"])
    sealed_certificate = Certificate.from_bytes(sealed.read("certificate.json"))
    assert 0 < sealed_certificate.difference.max_abs <= 1e-5
    assert sealed_certificate.difference.rows == facts["rows"]["test"]
    assert facts["exact"]["saturation"]["train"]["cut"] == 0


def test_the_certificate_says_which_lines_are_proved_and_which_measured(models):
    certificate = verify(models / "exact" / "1").certificate
    basis = {claim.claim: claim.basis for claim in claims(certificate)}
    assert basis == {
        "inference mode": "proved",
        "each row on its own": "proved",
        "the same bits on every processor": "proved",
        "parity": "measured",
        "deterministic": "measured",
        "batch-invariant": "measured",
    }
    (line,) = [each for each in claims(certificate) if "processor" in each.claim]
    assert "bits to spare at" in line.measured


def test_a_float32_artifact_claims_nothing_of_the_kind(models):
    certificate = verify(models / "float32" / "1").certificate
    assert certificate.exactness is None
    assert "the same bits on every processor" not in {each.claim for each in claims(certificate)}


@pytest.mark.parametrize("engine", ["onnx", "torchscript"])
def test_a_float32_file_that_claims_to_be_exact_is_refused(models, tmp_path, engine):
    path = resealed(shutil.copytree(models / "float32" / "1", tmp_path / "1"), precision="exact")
    assert any("claims exact precision" in each for each in verify(path).complaints)
    with pytest.raises(Disproved, match="claims exact precision"):
        proved_at_load(path, engine)


def test_an_overflowing_artifact_is_refused_with_its_unit(models, tmp_path):
    path = Path(shutil.copytree(models / "exact" / "1", tmp_path / "1"))
    resealed(path, model=overflowing((path / "model.onnx").read_bytes()))
    assert any("unit 5: its largest partial sum" in each for each in verify(path).complaints)
    with pytest.raises(Disproved, match="unit 5"):
        proved_at_load(path)


def test_an_exact_artifact_is_served(models):
    engine, proof, _ = proved_at_load(models / "exact" / "1")
    assert (proof.golden, proof.tile, engine.name) == ("equal", None, "onnx")


def test_an_export_in_which_too_much_is_cut_off_is_refused(fitted, tmp_path, monkeypatch):
    trained, dataset = fitted
    monkeypatch.setattr("lockstep_train.exact.form.MOST_SATURATED", -1.0)
    metrics = evaluate(trained.network, dataset.test)
    with pytest.raises(Disproved, match="were cut off at the end of their grid on the train split"):
        write(in_precision(trained, "exact"), dataset, metrics, tmp_path, "digits")
    assert not list(tmp_path.iterdir())


def test_where_nobody_chose_a_refused_exact_form_gives_way_to_float32_and_why_is_said(
    fitted, tmp_path, monkeypatch
):
    trained, dataset = fitted
    metrics = evaluate(trained.network, dataset.test)
    exact, _ = write(in_precision(trained, "auto"), dataset, metrics, tmp_path, "digits")
    assert exact.manifest.precision == "exact"
    monkeypatch.setattr("lockstep_train.exact.form.MOST_SATURATED", -1.0)
    sealed, certificate = write(in_precision(trained, "auto"), dataset, metrics, tmp_path, "digits")
    assert (sealed.manifest.precision, certificate.difference) == ("float32", None)
    why = sealed.manifest.training["inexact"]
    assert "were cut off at the end of their grid" in why
    assert "were cut off at the end of their grid" in sealed.read("card.md").decode()
    assert verify(sealed.path).holds


def test_a_test_split_that_lies_beyond_every_grid_gives_way_to_float32(fitted, tmp_path):
    trained, dataset = fitted
    far = dataclasses.replace(dataset.test, features=dataset.test.features * np.float32(1e9) + 1e9)
    dataset = dataclasses.replace(dataset, test=far)
    metrics = evaluate(trained.network, dataset.test)
    sealed, _ = write(in_precision(trained, "auto"), dataset, metrics, tmp_path, "digits")
    assert "none lies within the grids" in sealed.manifest.training["inexact"]
    with pytest.raises(Disproved, match="Or export with --precision float32"):
        write(in_precision(trained, "exact"), dataset, metrics, tmp_path, "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("engine", ["onnx", "torchscript"])
def test_no_batch_size_and_no_thread_changes_a_bit(models, engine):
    sealed = open_artifact(models / "exact" / "1")
    rows = np.random.default_rng(0).uniform(0, 16, (1_000, 64)).astype(np.float32)
    plain = engine_of(sealed, engine)
    expected = plain.run(rows)[0]
    for size in (1, 2, 3, 7, 16, 64, 333, 999):
        pieces = [plain.run(rows[i : i + size])[0] for i in range(0, 1_000, size)]
        assert np.concatenate(pieces).tobytes() == expected.tobytes()
    files = {"onnx": "model.onnx", "torchscript": "model.ts"}
    other = open_engine(
        engine,
        sealed.read(files[engine]),
        sealed.manifest.outputs,
        threads=2,
        optimised=False,
    )
    assert other.run(rows)[0].tobytes() == expected.tobytes()
    plain.run(rows[:1])  # one thread again, for torch has one number for the whole process


@pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 (Debian's qemu-user) is not installed")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the processors are of x86-64")
def test_unlike_processors_give_the_same_bits_for_exact_and_others_for_float32(models, tmp_path):
    golden = Golden.from_bytes((models / "exact" / "1" / "golden.npz").read_bytes()).features
    drawn = np.random.default_rng(1).uniform(0, 16, (ROWS, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", np.concatenate([golden, drawn]))
    digests = {
        precision: {
            processor: run_on(processor, models / precision / "1", tmp_path / "rows.npy")
            for processor in (None, *PROCESSORS)
        }
        for precision in ("exact", "float32")
    }
    assert len({each for found in digests["exact"].values() for each in found}) == 1, digests
    assert digests["float32"]["Nehalem"] != digests["float32"]["Haswell"], digests


def run_on(processor, artifact, rows):
    """Digests of the answers with optimisations on and off, on a processor that qemu imitates."""
    imitated = [] if processor is None else [QEMU, "-cpu", processor]
    interpreter = str(Path(sys.executable).resolve())
    libraries = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    found = subprocess.run(
        [*imitated, interpreter, "-c", RUN, str(artifact / "model.onnx"), str(rows)],
        env={**os.environ, "PYTHONPATH": libraries, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(found.stdout.split())
