"""The whole path as a person walks it: train, verify, serve, predict, stop."""

import json

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_digits

from serving import bits, probabilities, read_scores, run_command, serving, write_table

pytestmark = pytest.mark.slow

ROWS = 300


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """`lockstep train digits`, for a few epochs."""
    models = tmp_path_factory.mktemp("end-to-end") / "models"
    done = run_command("train", "digits", "--epochs", "3", "--models", models)
    assert done.returncode == 0, done.stderr
    assert f"lockstep serve --models {models}" in done.stdout
    return models


@pytest.fixture(scope="module")
def rows():
    return load_digits().data[:ROWS].astype(np.float32)


@pytest.fixture(scope="module")
def manifest(models):
    return json.loads((models / "digits" / "1" / "manifest.json").read_text())


@pytest.fixture(scope="module")
def table(tmp_path_factory, manifest, rows):
    names = [column["name"] for column in manifest["columns"]]
    return write_table(tmp_path_factory.mktemp("table") / "digits.csv", names, rows)


def test_what_was_trained_holds(models):
    done = run_command("verify", models / "digits" / "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["holds"]
    assert found["golden"] == {"onnx": "equal", "torchscript": "equal"}


@pytest.mark.parametrize("engine", ["onnx", "torchscript"])
def test_the_service_and_the_command_give_the_same_bits(models, table, rows, engine, tmp_path):
    output = tmp_path / "scores.csv"
    folder = models / "digits" / "1"
    done = run_command("predict", folder, table, "-o", output, "--engine", engine)
    assert done.returncode == 0, done.stderr
    labels, offline = read_scores(output.read_text())
    assert len(labels) == ROWS

    with serving(models, "--engine", engine) as service:
        with httpx.Client(base_url=service.address) as http:
            assert http.get("/v2/health/ready").json() == {"ready": True}
            answer = http.post("/predict", json={"instances": rows.tolist()})
            alone = [
                probabilities(http.post("/predict", json={"instances": [row]}))
                for row in rows[:20].tolist()
            ]
        assert service.stop() == (0, "")
    assert bits(probabilities(answer)) == bits(offline)
    assert bits(np.concatenate(alone)) == bits(offline[:20])
    served = answer.json()
    assert served["classes"] == list(range(10))  # a class keeps its JSON type
    assert [json.dumps(prediction["label"]) for prediction in served["predictions"]] == labels
