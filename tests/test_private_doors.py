"""What libraries do not publish and we stand on: where it is used, and that it is still so.

A test that fails here after an upgrade names the door, not the feature behind it. CONTRIBUTING.md
has the table.
"""

import ast
import importlib
import inspect
import math
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
import warnings
from functools import cache
from itertools import chain
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from fastapi import FastAPI
from packaging.requirements import Requirement
from packaging.version import Version
from prometheus_client import CollectorRegistry, Counter, Gauge, multiprocess, values
from starlette.middleware import Middleware
from torch import nn

from lockstep.engine.onnx import ERRORS, open_model
from lockstep.engine.torchscript import load_module
from lockstep.proof.audit.torchscript import audit_torchscript
from lockstep_service.connection import trial
from lockstep_service.process.ending import Stopped, stop_on_signals
from lockstep_service.process.server import Server, configure
from lockstep_train.export.onnx_file import _EXPORTER_LOGGERS
from lockstep_train.fit.optimiser import kernels
from lockstep_train.fit.optimiser.lean import LeanAdam
from lockstep_train.network.block import _is_unobserved
from serving import ask, environment, model_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("lockstep", "lockstep_train", "lockstep_service")
SOURCES = [path for top in ("lockstep", "train", "service") for path in (ROOT / top).rglob("*.py")]
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_exit"}  # of a namedtuple, and of os
# A name with an underscore, of somebody else.
PRIVATE = {
    "lockstep/engine/onnx.py": {"_model_bytes"},
    "service/lockstep_service/connection/connection.py": {"_unset_keepalive_if_required"},
    "lockstep/proof/audit/torchscript.py": {
        "torch._C",
        "_C",
        "_c",
        "_get_forward_hooks",
        "_get_forward_pre_hooks",
        "_get_method",
        "_jit_pass_inline",
        "_method_names",
    },
    "train/lockstep_train/fit/optimiser/kernels.py": {
        "_foreach_copy_",
        "_foreach_mul_",
        "_foreach_norm",
        "_fused_adam_",
        "_fused_adamw_",
    },
    "train/lockstep_train/network/block.py": {
        "_backward_hooks",
        "_backward_pre_hooks",
        "_forward_hooks",
        "_forward_pre_hooks",
    },
    "train/lockstep_train/export/onnx_file.py": {"torch.onnx._internal.exporter._registration"},
}
# A name without one that its library does not publish.
UNPUBLISHED = {
    "hooked": {"train/lockstep_train/fit/optimiser/lean.py"},
    "optimized_execution": {"lockstep/engine/torchscript.py"},
    "resource_tracker": {"service/lockstep_service/process/worker.py"},
    "server_state": {
        "service/lockstep_service/connection/connection.py",
        "service/lockstep_service/connection/trial.py",
    },
    "onnxruntime_pybind11_state": {"lockstep/engine/onnx.py"},
    "ValueClass": {"service/lockstep_service/view/telemetry.py"},
    "httptools_impl": {"service/lockstep_service/connection/connection.py"},
}
# What of a library's classes is overridden, beside what its documentation tells to override.
OVERRIDDEN = {
    "lockstep_service.connection.connection.Connection": {
        "connection_lost",
        "connection_made",
        "data_received",
        "on_body",
        "on_header",
        "on_headers_complete",
        "on_message_complete",
        "on_response_complete",
    },
    "lockstep_service.process.server.Server": {"handle_exit", "startup"},
    "lockstep_service.settings._Environment": {"get_field_value"},
    "lockstep_train.fit.optimiser.lean.LeanAdam": {
        "add_param_group",
        "load_state_dict",
        "state_dict",
        "step",
        "zero_grad",
    },
}
PUBLISHED_BASES = ("pydantic.", "torch.nn.", "torch.autograd.", "collections.", "enum", "builtins")
BOUNDED = ("uvicorn", "fastapi", "prometheus-client", "onnxruntime", "torch")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@cache
def nodes():
    """Every node of our source, with the name of its file."""
    return [
        (name_of(path), node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED | {"_"}


def own_names():
    """Every name that our own source gives to anything."""
    for _, node in nodes():
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                yield name


def private_names(node):
    """The private names of somebody else that a piece of source says, if they are not our own."""
    match node:
        case ast.Attribute(attr=name) if is_private(name):
            yield name
        case ast.ImportFrom(module=module, names=names):
            parts = [*(module or "").split("."), *(alias.name for alias in names)]
            if any(map(is_private, parts)):
                yield module
        case ast.Import(names=names):
            yield from (alias.name for alias in names if "._" in alias.name)
        case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, said, *_]):
            if isinstance(said, ast.Constant) and is_private(str(said.value)):
                yield said.value
        case ast.Constant(value=str() as text) if re.fullmatch(r"\w+(\.\w+)*\._\w[\w.]*", text):
            yield text


def said_names(node):
    match node:
        case ast.Attribute(attr=name) | ast.alias(name=name):
            return set(name.split("."))
        case ast.ImportFrom(module=str() as module):
            return set(module.split("."))
    return set()


def test_private_names_are_said_in_their_home_and_nowhere_else():
    own = set(own_names())
    ours = {f"{package}." for package in PACKAGES}
    found = {}
    for path, node in nodes():
        for name in private_names(node):
            if name not in own and not name.startswith(tuple(ours)):
                found.setdefault(path, set()).add(name)
    assert found == PRIVATE


def test_unpublished_names_are_said_in_their_home_and_nowhere_else():
    found = {
        name: {path for path, node in nodes() if name in said_names(node)} for name in UNPUBLISHED
    }
    assert found == UNPUBLISHED


def own_classes():
    for path in SOURCES:
        name = name_of(path).removeprefix("train/").removeprefix("service/").removesuffix(".py")
        module = name.replace("/", ".").removesuffix(".__init__")
        found = importlib.import_module(module)
        for kind in vars(found).values():
            if inspect.isclass(kind) and kind.__module__ == module:
                yield kind


@pytest.mark.slow
def test_nothing_of_a_library_is_overridden_but_what_is_known():
    found = {}
    for kind in own_classes():
        foreign = [
            base
            for base in kind.__mro__
            if base.__module__.split(".")[0] not in (*PACKAGES, "abc", "typing")
            and not f"{base.__module__}.".startswith(PUBLISHED_BASES)
        ]
        names = {
            name
            for name, value in vars(kind).items()
            if inspect.isfunction(value) and not name.endswith("__")
            if any(name in vars(base) for base in foreign)
        }
        if names:
            found[f"{kind.__module__}.{kind.__qualname__}"] = names
    assert found == OVERRIDDEN


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = chain(project["dependencies"], *project["optional-dependencies"].values())
    return {line.name: line for line in map(Requirement, lines)}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_library_with_a_door_is_bounded_by_what_was_tested(name):
    lines = (ROOT / "constraints.txt").read_text().replace("_", "-").splitlines()
    tested = Version(next(line.split("==")[1] for line in lines if line.startswith(f"{name}==")))
    allowed = requirements()[name].specifier
    major, minor = tested.major, tested.minor
    beyond = f"{major + 1}" if name == "onnxruntime" else f"{major}.{minor + 1}"
    assert allowed.contains(tested)
    assert not allowed.contains(beyond)


def test_the_advice_in_the_log_is_the_bound():
    advised = Requirement(trial.TESTED)
    assert advised.specifier == requirements()[advised.name].specifier


def test_contributing_names_every_home_and_bound():
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Private doors")[2]
    homes = {*PRIVATE, *(home for homes in UNPUBLISHED.values() for home in homes)}
    for home in homes:
        assert f"`{home}`" in text
    for name in BOUNDED:
        bound = next(each for each in requirements()[name].specifier if each.operator == "<")
        assert f"{name} {bound}" in text


def test_uvicorns_connection_is_what_ours_stands_on():
    assert trial.fault_of(lambda app: configure(app, "httptools", 1)) is None


def test_uvicorns_server_calls_startup_and_handle_exit_and_raises_the_signal_again():
    app = FastAPI()
    app.state.gate = type("Gate", (), {"stopping": False})()
    before = [(each, signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT)]
    server = Server(configure(app, "httptools", 1), app, lambda: os.kill(os.getpid(), 15))
    try:
        stop_on_signals()
        with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Stopped):
            server.run(sockets=[listener])
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    assert app.state.gate.stopping


def test_uvicorns_server_has_the_state_that_its_connections_share():
    state = uvicorn_state()
    assert (state.default_headers, state.connections, state.tasks) == ([], set(), set())


def uvicorn_state():
    app = FastAPI()
    app.state.gate = None
    return Server(configure(app, "httptools", 1), app).server_state


def test_fastapi_leaves_the_route_of_a_request_in_its_scope():
    scopes = []

    class Watching:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            scopes.append(scope)
            await self.app(scope, receive, send)

    app = FastAPI(middleware=[Middleware(Watching)])
    app.add_api_route("/of/{name}", lambda name: name)
    ask(app, "GET", "/of/wine")
    assert scopes[0]["route"].path == "/of/{name}"


@pytest.fixture
def value_class(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    before = values.ValueClass
    yield tmp_path
    values.ValueClass = before
    values.close_all_multiprocess_files()


def test_prometheus_makes_metrics_of_its_value_class_and_files_by_its_number(value_class):
    alone = "from prometheus_client import values; print(values.ValueClass is values.MutexValue)"
    words = [sys.executable, "-c", alone]
    kept = {name: value for name, value in environment().items() if "PROMETHEUS" not in name}
    assert subprocess.run(words, env=kept, capture_output=True, check=True).stdout == b"True\n"
    values.ValueClass = values.MultiProcessValue(lambda: 7)
    registry = CollectorRegistry()
    Counter("counted", "It.", registry=registry).inc()
    Gauge("waiting", "It.", registry=registry, multiprocess_mode="livesum").set(3)
    assert {path.name for path in value_class.iterdir()} == {"counter_7.db", "gauge_livesum_7.db"}
    multiprocess.mark_process_dead(7, str(value_class))
    assert {path.name for path in value_class.iterdir()} == {"counter_7.db"}


def test_a_process_that_is_started_leaves_sigint_blocked_once_the_tracker_runs():
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = multiprocessing.get_context("spawn").Process(target=int)
        process.start()
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
        process.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert process.exitcode == 0


def test_onnxruntime_has_its_errors_where_they_are_looked_for():
    names = {error.__name__ for error in ERRORS}
    assert {"Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "RuntimeException"} <= (
        names
    )
    model = model_of("one (float[n, 2] x) => (float[n, 2] y) { y = Relu (x) }")
    with pytest.raises(ERRORS):
        onnxruntime.InferenceSession(b"no model")
    with pytest.raises(ERRORS):
        open_model(model.SerializeToString(), (), threads=1, optimised=True)._run(
            ["y"], {"x": np.zeros((1, 3), np.float32)}
        )


def scripted(module):
    """A module as a TorchScript file would give it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


def test_torch_turns_the_optimising_executor_off_for_a_block():
    before = torch._C._get_graph_executor_optimize()
    for on in (False, True):
        with torch.jit.optimized_execution(on):
            assert torch._C._get_graph_executor_optimize() is on
    assert torch._C._get_graph_executor_optimize() is before


def test_torch_shows_the_methods_hooks_and_nodes_of_a_scripted_module():
    compiled = scripted(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.25)))._c
    assert "forward" in compiled._method_names()
    assert [*compiled._get_forward_hooks(), *compiled._get_forward_pre_hooks()] == []
    graph = compiled._get_method("forward").inlined_graph
    dropout = next(
        inner
        for node in graph.nodes()
        for inner in (node, *(each for block in node.blocks() for each in block.nodes()))
        if inner.kind() == "aten::dropout"
    )
    assert [each.name for each in torch._C.parse_schema(dropout.schema()).arguments] == [
        "input",
        "p",
        "train",
    ]
    _, rate, training = dropout.inputs()
    assert rate.node().output().toIValue() == 0.25
    assert (training.node().kind(), training.node().s("name")) == ("prim::GetAttr", "training")
    assert dropout.isNondeterministic()
    assert "Dropout" in dropout.getModuleHierarchy()
    assert "functional" in str(dropout.sourceRange())
    assert (dropout.outputsSize(), dropout.hasAttribute("Subgraph")) == (1, False)
    assert not rate.node().mustBeNone()


def test_torch_inlines_a_copy_of_a_graph_by_its_own_pass():
    graph = scripted(nn.Sequential(nn.ReLU()))._c._get_method("forward").graph.copy()
    assert "prim::CallMethod" in {node.kind() for node in graph.nodes()}
    torch._C._jit_pass_inline(graph)
    assert {node.kind() for node in graph.nodes()} & {"aten::relu", "prim::If"}
    assert "prim::CallMethod" not in {node.kind() for node in graph.nodes()}


def test_torch_loads_what_the_audit_reads(tmp_path):
    path = tmp_path / "model.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(scripted(nn.Sequential(nn.Dropout(0.5))), path)
    report = audit_torchscript(load_module(path.read_bytes()))
    assert [finding.operator for finding in report.findings] == ["aten::dropout"]


@pytest.mark.parametrize("decoupled", [True, False])
def test_torchs_fused_kernels_take_a_step_of_adam(decoupled):
    weight, gradient, mean, square = (torch.full((4,), each) for each in (2.0, 0.5, 0.1, 0.2))
    kernel = kernels.adamw_ if decoupled else kernels.adam_
    kernel(
        [weight],
        [gradient],
        [mean],
        [square],
        [],
        [torch.tensor(3.0)],
        lr=0.1,
        beta1=0.9,
        beta2=0.99,
        weight_decay=0.5,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )
    slope = 0.5 if decoupled else 0.5 + 0.5 * 2.0
    first, second = 0.9 * 0.1 + 0.1 * slope, 0.99 * 0.2 + 0.01 * slope**2
    start = 2.0 * (1 - 0.1 * 0.5) if decoupled else 2.0
    moved = 0.1 * first / (1 - 0.9**3) / (math.sqrt(second / (1 - 0.99**3)) + 1e-8)
    torch.testing.assert_close(weight, torch.full((4,), start - moved))
    torch.testing.assert_close(mean, torch.full((4,), first))
    torch.testing.assert_close(square, torch.full((4,), second))


def test_torchs_foreach_kernels_copy_multiply_and_measure_in_place():
    targets, sources = [torch.zeros(2), torch.zeros(1)], [torch.tensor([3.0, 4.0]), torch.ones(1)]
    kernels.copy_each_(targets, sources)
    assert [each.tolist() for each in targets] == [[3, 4], [1]]
    assert [each.item() for each in kernels.norm_of_each(targets)] == [5, 1]
    kernels.multiply_each_(targets, 2)
    assert [each.tolist() for each in targets] == [[6, 8], [2]]


def test_torch_wraps_the_step_of_an_optimiser_unless_it_says_that_it_is_hooked():
    class Wrapped(torch.optim.SGD):
        def step(self, closure=None):
            return closure

    Wrapped([nn.Parameter(torch.ones(1))])
    LeanAdam([nn.Parameter(torch.ones(1))], learning_rate=0.1, decoupled=True)
    assert hasattr(Wrapped.step, "__wrapped__")
    assert not hasattr(LeanAdam.step, "__wrapped__")


@pytest.mark.parametrize(
    "register",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_torch_keeps_the_hooks_of_a_module_where_they_are_looked_for(register):
    layer = nn.Linear(1, 1)
    assert _is_unobserved(layer)
    hook = getattr(layer, register)(lambda *_: None)
    assert not _is_unobserved(layer)
    hook.remove()
    assert _is_unobserved(layer)


def test_the_exporters_loggers_are_those_that_are_silenced():
    loggers = {importlib.import_module(name).__name__ for name in _EXPORTER_LOGGERS}
    assert loggers == set(_EXPORTER_LOGGERS)
    registration = importlib.import_module(_EXPORTER_LOGGERS[0])
    assert registration.logger.name == _EXPORTER_LOGGERS[0]
