"""What the image is made of is locked: every version as it was tested, every file by its hash."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = {
    "serving": PROJECT["project"]["dependencies"],
    "build": PROJECT["build-system"]["requires"],
}
ENTRY = re.compile(
    r"[\w.-]+==[\w.]+(?: ; [\w .<>='()]+)? \\(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+"
)


def text_of(lock):
    return (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")


def pinned(lines):
    """Version by name, of the requirements that hold on this system."""
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in found
        if one.marker is None or one.marker.evaluate()
    }


def versions_of(lock):
    return pinned(
        line.removesuffix(" \\")
        for line in text_of(lock).splitlines()
        if not line.startswith(("#", " "))
    )


def needed_by(requirement, extras=("",)):
    """The requirements of an installed library that hold on this system, with those extras."""
    for line in requires(requirement.name) or []:
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras):
            yield one


@pytest.mark.parametrize("lock", LOCKED)
def test_what_the_project_asks_for_is_locked_within_its_bounds(lock):
    versions = versions_of(lock)
    for one in map(Requirement, LOCKED[lock]):
        assert versions[canonicalize_name(one.name)] in one.specifier


def test_what_the_libraries_ask_for_is_locked_within_their_bounds():
    versions = versions_of("serving")
    waiting = [Requirement(line) for line in LOCKED["serving"]]
    seen = set()
    while waiting:
        one = waiting.pop()
        assert versions[canonicalize_name(one.name)] in one.specifier
        if str(one) not in seen:
            seen.add(str(one))
            waiting += needed_by(one, ("", *one.extras))
    assert {canonicalize_name(Requirement(line).name) for line in seen} == set(versions)


@pytest.mark.parametrize("lock", LOCKED)
def test_a_locked_version_is_the_one_that_is_tested(lock):
    tested = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    assert versions_of(lock).items() <= tested.items()


@pytest.mark.parametrize("lock", LOCKED)
def test_a_lock_holds_versions_and_hashes_and_no_address(lock):
    entries = [line for line in text_of(lock).splitlines() if not line.startswith("#")]
    left = ENTRY.sub("", "\n".join(entries))
    assert not left.strip()
