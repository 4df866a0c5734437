"""Every Python block of the README and of docs/ runs, as a reader would run it."""

import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

from lockstep import open_artifact
from serving import bits, serving, write_table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "models" / "digits" / "1"
ADDRESS = "http://localhost:8080"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{i}")
    for page in PAGES
    for i, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), start=1)
]
COLUMNS = [column.name for column in open_artifact(DIGITS).manifest.columns]
ROWS = load_digits().data[:20].astype(np.float32)


@pytest.fixture(scope="module")
def address():
    with serving(ROOT / "models") as service:
        yield service.address


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the reader stands: beside the model that ships, and a table of its columns."""
    shutil.copytree(DIGITS, tmp_path / "models" / "digits" / "1")
    write_table(tmp_path / "table.csv", COLUMNS, ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def people():
    """Rows of a person's own, of every kind of column, and what is predicted of each."""
    draw = np.random.default_rng(0)
    age, city = draw.integers(18, 80, 60), draw.choice(["Bern", "Oslo", "Rome"], 60)
    frame = pl.DataFrame({"age": age, "city": city, "owner": age % 2 == 0})
    return {"frame": frame, "labels": np.where(age > 45, "high", "low")}


def run(block, address):
    """Run a block; what it has named. Only the address and the reader's own data are given."""
    given = {"rows": ROWS, "frame": pl.DataFrame(ROWS, COLUMNS)} if ADDRESS in block else people()
    code = compile(block.replace(ADDRESS, address), "block", "exec")
    exec(code, given)  # noqa: S102 - that is the test
    return given


def test_the_pages_have_blocks():
    pages = {block.id.rpartition("-")[0] for block in BLOCKS}
    assert {"README", "training"} <= pages


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block, address, folder):
    before = sorted(folder.rglob("*"))
    run(block, address)
    if ".export(" in block:
        written = re.search(r'name="(\w+)"', block)[1]
        assert open_artifact(folder / "models" / written / "1")
    elif "scores.csv" in block:
        assert len((folder / "scores.csv").read_text().splitlines()) == len(ROWS) + 1
    else:
        assert sorted(folder.rglob("*")) == before


def test_the_blocks_that_ask_the_service_get_the_same_bits(address):
    asking = [block.values[0] for block in BLOCKS if ADDRESS in block.values[0]]
    named = {}
    for block in asking:
        named |= run(block, address)
    scores = named["scores"].select(pl.exclude("label")).to_numpy()
    assert named["probabilities"].shape == (len(ROWS), 10)
    assert bits(named["probabilities"]) == bits(scores)
