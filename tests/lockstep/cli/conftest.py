"""The command line in this process, and tables for it."""

import csv

import numpy as np
import pytest

from lockstep.cli.main import main


@pytest.fixture
def lockstep(capsys, monkeypatch):
    """Runs a command line: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def table(wine, tmp_path):
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [wine.dataset.column_names, *wine.dataset.test.features[:4].tolist()]
        )
    return path


@pytest.fixture
def people(tmp_path):
    """A table with words, numbers, truth and missing values, whose answer can be learned."""
    draw = np.random.default_rng(5)
    path = tmp_path / "people.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "colour", "member", "height", "answer"])
        for _ in range(240):
            age, colour = draw.normal(40, 10), draw.choice(["red", "green", "blue"])
            answer = "yes" if (age > 40) == (colour != "red") else "no"
            shown = "" if draw.random() < 0.1 else f"{age:.2f}"
            word = "?" if draw.random() < 0.1 else colour
            member = draw.choice(["true", "false"])
            writer.writerow([shown, word, member, f"{draw.normal():.3f}", answer])
    return path
