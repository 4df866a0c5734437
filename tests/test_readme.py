"""The README says what is so: its commands, settings and defaults are there."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from lockstep.cli.main import main
from lockstep_service.settings import PREFIX, Settings
from lockstep_train.configuration.configuration import Configuration

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def settings_table():
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def test_the_settings_are_those_of_the_service():
    assert settings_table() in README


def test_the_two_commands_come_first():
    assert [line.split()[:2] for line in commands()[:2]] == [["make", "run"], ["make", "test"]]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z][a-z-]+)", README))))
def test_every_make_target_is_there(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("line", [c for c in commands() if c.startswith("lockstep")])
def test_every_sub_command_and_option_is_there(line, capsys):
    name, *words = shlex.split(line)[1:]
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    for option in (word for word in words if word.startswith("-")):
        assert option in shown


def test_the_defaults_of_training_are_those_that_are_shown():
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    shown = tomllib.loads(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    assert Configuration.model_validate(shown) == Configuration()
    sections = Configuration().model_dump(exclude={"columns", "data"})
    assert {name: set(settings) for name, settings in sections.items()} == {
        name: set(settings) for name, settings in shown.items() if name in sections
    }


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:benchmarks|docs)/[\w./-]+\w", README))))
def test_every_file_that_is_named_is_there(path):
    assert (ROOT / path).exists()


def test_the_answer_that_is_shown_is_json():
    assert json.loads(blocks("json")[0])["model"] == "digits"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/where.md"])
def test_every_source_file_that_a_page_sends_people_to_is_there(page):
    """By the end of its path: a page may leave out the room that it speaks of."""
    there = [f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*.py")]
    named = re.findall(r"`([\w/]+\.py)`", (ROOT / page).read_text(encoding="utf-8"))
    named = [name for name in named if "NAME" not in name and name != "train.py"]  # a user's own
    assert len(named) > 10
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in there)] == []
