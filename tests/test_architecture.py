"""The rooms, and what each may know: read off the source, and off a fresh interpreter."""

import ast
import subprocess
import sys
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "lockstep": ROOT / "lockstep",
    "lockstep_train": ROOT / "train/lockstep_train",
    "lockstep_service": ROOT / "service/lockstep_service",
}
SOURCES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
CORE = [path for path in SOURCES if PACKAGES["lockstep"] in path.parents]
NOT_FOR_SERVING = {
    "torch",
    "lockstep_train",
    "sklearn",
    "matplotlib",
    "polars",
    "onnxscript",
    "optuna",
}
HEAVY = {"numpy", "onnx", "onnxruntime", "torch", "fastapi", "uvicorn", "pydantic", "polars"}
LONGEST_MODULE = 350
LONGEST_FUNCTION = 70


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """The modules that a file imports anywhere, as dotted names."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(node):
    """``torch.jit`` of the expression that says so; empty for any other."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


@cache
def mentions(path):
    """Every dotted name that a file imports or spells out."""
    spelt = (dotted(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute))
    return frozenset((*imports(path), *spelt))


def homes(name, among=SOURCES):
    """The files that mention a name or anything below it."""
    return {
        name_of(path)
        for path in among
        if any(found == name or found.startswith(f"{name}.") for found in mentions(path))
    }


def fresh(script):
    """What a script prints in an interpreter of its own."""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "lockstep_service.app",
        "lockstep_service.process.server",
        "lockstep_service.process.health",
        "lockstep.cli.main",
    ],
)
def test_what_serves_imports_nothing_of_training(module):
    loaded = fresh(f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})")
    assert not NOT_FOR_SERVING & set(loaded)


@pytest.mark.parametrize("module", ["lockstep", "lockstep.cli.main"])
def test_nothing_heavy_is_imported_until_it_is_asked_for(module):
    loaded = fresh(f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})")
    assert not HEAVY & set(loaded)


def modules():
    """Every file by the dotted name of its module."""
    names = {}
    for folder in PACKAGES.values():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def modules_imported(path, known):
    """The modules among the known ones that a file imports anywhere.

    ``from package import module`` names the module, and nothing that the package gathers.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield from {module if module in known else node.module} & known


def test_no_modules_import_each_other_not_even_inside_a_function():
    """Also not by way of others: what knows each other is one thing in two files."""
    paths = modules()
    imported = {name: modules_imported(path, paths.keys()) for name, path in paths.items()}
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        pytest.fail(f"They import each other: {' ← '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("onnxruntime", {"lockstep/engine/onnx.py"}),
        ("torch.jit", {"lockstep/engine/torchscript.py"}),
        (
            "os.environ",
            {"service/lockstep_service/settings.py", "train/lockstep_train/fit/device/parallel.py"},
        ),  # torchrun's own variables
        ("os.getenv", set()),
        ("prometheus_client", {"service/lockstep_service/view/telemetry.py"}),
        ("structlog", {"service/lockstep_service/view/log.py"}),
        (
            "uvicorn",
            {
                "service/lockstep_service/process/server.py",
                "service/lockstep_service/connection/connection.py",
                "service/lockstep_service/connection/trial.py",
            },
        ),
        ("pickle", set()),
        ("torch.load", set()),
        ("subprocess", {"lockstep/proof/confined/audit.py"}),
        ("urllib", set()),
        ("requests", set()),
        ("httpx", set()),
    ],
)
def test_a_name_has_one_home(name, allowed):
    assert homes(name) == allowed


def test_the_core_and_the_batcher_know_no_http():
    domain = [
        *(path for path in CORE if "cli" not in path.parts),
        *(PACKAGES["lockstep_service"] / "batching").rglob("*.py"),
    ]
    for framework in ("fastapi", "starlette", "uvicorn", "http", "lockstep_service.http"):
        assert homes(framework, domain) == set()


def test_the_core_opens_torch_only_where_torchscript_is_read():
    assert all("torchscript" in name or "confined" in name for name in homes("torch", CORE))


def test_nothing_but_the_command_prints():
    """Logs go through the log, answers through the console; the rest says nothing."""
    printing = {
        name_of(path)
        for path in SOURCES
        if "cli" not in path.parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and dotted(node.func) in {"print", "sys.stdout.write"}
    }
    assert printing <= {"service/lockstep_service/process/server.py"}  # the curl line on demand


def test_a_name_means_one_thing():
    """A class or a type is named for what it is, where another room has one too."""
    homes_of = defaultdict(set)
    for path in SOURCES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                homes_of[node.name.lstrip("_")].add(name_of(path))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name[:1].isupper() and not name.isupper():
                    homes_of[name].add(name_of(path))
    assert {name: homes for name, homes in homes_of.items() if len(homes) > 1} == {}


def modules_taken(path):
    """The modules of other rooms that a file imports as modules, instead of what is in them."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            top, *rest = node.module.split(".")
            room = PACKAGES[top].joinpath(*rest) if top in PACKAGES else path.parent
            if room != path.parent:
                yield from (name.name for name in node.names if (room / f"{name.name}.py").exists())


def test_things_are_imported_from_another_room_and_not_its_modules():
    taken = {name_of(path): list(modules_taken(path)) for path in SOURCES}
    assert {name: modules for name, modules in taken.items() if modules} == {}


def functions(path):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return (node for node in ast.walk(tree(path)) if isinstance(node, kinds))


def test_a_module_is_one_noun_that_says_what_it_is():
    nameless = {"utils", "helpers", "common", "manager", "misc", "base"}
    assert [name_of(path) for path in SOURCES if path.stem in nameless] == []
    silent = [path for path in SOURCES if not path.read_text(encoding="utf-8").startswith('"""')]
    assert list(map(name_of, silent)) == []


def test_modules_and_functions_are_of_a_readable_length():
    lines = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > LONGEST_MODULE} == {}
    long = [
        f"{name_of(path)}: {node.name}"
        for path in SOURCES
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def offences(path):
    """What is left to be written, swallowed, or decided by what `python -O` leaves out."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Raise) and node.exc and "NotImplemented" in ast.dump(node.exc):
            yield node.lineno, "nothing is written here"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "everything is caught"
        if isinstance(node, ast.Assert):
            yield node.lineno, "an assert decides"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if any(word in line for word in ("TODO", "FIXME", "XXX")):
            yield number, "a note to oneself"


def test_nothing_is_left_to_be_written_swallowed_or_asserted():
    found = [(name_of(path), *offence) for path in SOURCES for offence in offences(path)]
    assert found == []


def defined(path):
    """A module's functions, classes and constants, but for those that the language calls.

    And but for functions that a decorator registers.
    """
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef) or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.decorator_list
            and not node.name.startswith("__")
        ):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name for target in targets for name in plain_names(target))


def plain_names(node):
    """The plain names below a node, those of the language left out."""
    names = (each.id for each in ast.walk(node) if isinstance(each, ast.Name))
    return {name for name in names if not name.startswith("__")}


def read_names(path):
    """The plain names that a module reads."""
    reads = (each for each in ast.walk(tree(path)) if isinstance(each, ast.Name))
    return {each.id for each in reads if isinstance(each.ctx, ast.Load)}


def test_whatever_is_defined_is_used():
    """By the program itself: a test alone keeps nothing alive."""
    users = (*SOURCES, *(ROOT / "benchmarks").rglob("*.py"))
    elsewhere = {name.rpartition(".")[2] for path in users for name in mentions(path)}
    unused = {
        name
        for path in SOURCES
        for name in set(defined(path)) - read_names(path)
        if name.startswith("_") or name not in elsewhere
    }
    assert unused == set()


def test_a_dialect_is_at_most_a_few_calls_from_the_engine():
    """Between route and engine: read, check, submit, write. Whoever adds a layer explains it."""
    source = tree(PACKAGES["lockstep_service"] / "dialects/endpoint.py")
    endpoint = next(
        node
        for node in ast.walk(source)
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "__call__"
    )
    awaited = [node for node in ast.walk(endpoint) if isinstance(node, ast.Await)]
    # The body, a long one read in a thread, the rows, a long answer written in one, and sent.
    assert len(awaited) == 5
